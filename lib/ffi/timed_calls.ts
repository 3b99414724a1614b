/** Timing of kernel library calls, for profiling. @module */

import type { KernelContext } from "./context.ts";
import type { KernelSymbols, SymbolName } from "./symbols.ts";

/**
 * Receives the timing of a call.
 *
 * @param name The function's C name.
 * @param start Start time by `performance.now()`.
 * @param end End time.
 */
export type CallListener = (name: SymbolName, start: number, end: number) => void;

type Call = (...args: unknown[]) => number;

/**
 * Times every call of a context from now on. On a device that queues work, each call meanwhile
 * waits for completion, so that the work is timed and not just its launch.
 *
 * @param context The open context.
 * @param listener Called after each call.
 * @returns Dispose of it to stop timing.
 */
export function timeCalls(context: KernelContext, listener: CallListener): Disposable {
  const plain = context.symbols;
  const queues = context.info().backend !== "cpu";
  const timed = Object.entries<unknown>({ ...plain }).map(([name, call]) => {
    const measured = (...args: unknown[]): number => {
      const start = performance.now();
      const status = (call as Call)(...args);
      if (queues) plain.remoe_synchronize(context.handle);
      listener(name as SymbolName, start, performance.now());
      return status;
    };
    return [name, measured];
  });
  context.symbols = Object.fromEntries(timed) as KernelSymbols;
  return {
    [Symbol.dispose](): void {
      // A context closed in the meantime must keep its stubs.
      if (context.handle !== 0n) context.symbols = plain;
    },
  };
}
