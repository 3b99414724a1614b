/**
 * Finding, verifying and opening a kernel library, and calling it.
 *
 * @module
 */

export * from "./codes.ts";
export * from "./context.ts";
export * from "./diagnosis.ts";
export type { Download } from "./download.ts";
export * from "./find_library.ts";
export * from "./layouts.ts";
export * from "./library.ts";
export * from "./open_context.ts";
export * from "./probe.ts";
export * from "./release.ts";
export * from "./status.ts";
export { type CallListener, timeCalls } from "./timed_calls.ts";
export type { HostBuffer, KernelSymbols, SymbolName } from "./symbols.ts";
