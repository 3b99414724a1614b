/** Reports what fails in a user's router as the router's. @module */

import { shown } from "../arguments.ts";
import { ConfigError, DeviceError } from "../errors.ts";
import type { RouterRow } from "../moe/router_row.ts";

/** What a row may compute from the settings. */
const FUNCTIONS = ["adapts", "activeFrom", "weights", "problems", "notices", "starving"] as const;

/**
 * Guards the functions of a file's row.
 *
 * @param file The router's file.
 * @param row Its row.
 * @returns A row that passes on every call.
 */
export function guardedRow(file: string, row: RouterRow): RouterRow {
  const guard = new RouterGuard(file);
  const functions = FUNCTIONS.flatMap((name) => {
    const own = row[name] as ((...args: unknown[]) => unknown) | undefined;
    if (own === undefined) return [];
    return [[name, (...args: unknown[]) => guard.call(name, () => own.apply(row, args))]];
  });
  return { ...row, ...Object.fromEntries(functions) };
}

/** Calls functions of a router's file; what they throw becomes a `ConfigError` that names them. */
export class RouterGuard {
  /**
   * Guards a file.
   *
   * @param file The router's file.
   */
  constructor(readonly file: string) {}

  /**
   * Calls a function.
   *
   * @param method Its name.
   * @param run Calls it.
   * @returns What it returns.
   * @throws {ConfigError} If it throws; names the line.
   */
  call<Result>(method: string, run: () => Result): Result {
    try {
      return run();
    } catch (error) {
      // The device's failures, such as too little memory, are not the router's.
      if (error instanceof DeviceError) throw error;
      const [reason] = (error instanceof Error ? error.message : shown(error)).split("\n");
      throw new ConfigError(
        `Cannot use the router ${this.file}: its ${method}() failed${this.#line(error)}: ${reason}`,
        { cause: error },
      );
    }
  }

  /**
   * Refuses what a function returned.
   *
   * @param method Its name.
   * @param result What it returned.
   * @param expected What it should return.
   * @throws {ConfigError} Always.
   */
  fail(method: string, result: unknown, expected: string): never {
    throw new ConfigError(
      `Cannot use the router ${this.file}: its ${method}() returned ` +
        `${result instanceof Promise ? "a Promise" : shown(result)}, expected ${expected}`,
    );
  }

  /** The line of the file in which an error arose, if its stack tells. */
  #line(error: unknown): string {
    const stack = error instanceof Error ? error.stack ?? "" : "";
    const place = stack.split("\n").find((line) => line.includes("?sha256="));
    const [, line] = /\?sha256=\w+:(\d+):\d+/.exec(place ?? "") ?? [];
    return line === undefined ? "" : ` in line ${line}`;
  }
}
