/** Timing of the calls into a kernel library, for profiles. @module */

import type { KernelContext } from "./context.ts";
import type { KernelSymbols, SymbolName } from "./symbols.ts";

/**
 * Told of each call.
 *
 * @param name The function's name in C.
 * @param start When it was called, by `performance.now()`.
 * @param end When it was done.
 */
export type CallListener = (name: SymbolName, start: number, end: number) => void;

type Call = (...args: unknown[]) => number;

/**
 * Times every call of a context from now on. While this lasts, a call to a device that queues its
 * work is waited for, so that the time is that of the work and not of its launch.
 *
 * @param context The open context.
 * @param listener Told of each call, after it.
 * @returns Dispose of it to call without timing again.
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
      // A context that was closed meanwhile has functions that only say so.
      if (context.handle !== 0n) context.symbols = plain;
    },
  };
}
