import { LibraryError } from "../errors.ts";
import { checkedCall } from "./checked_calls.ts";
import { ABI_VERSION, Status } from "./codes.ts";
import { type KernelSymbols, type SymbolName, SYMBOLS } from "./symbols.ts";

/** Facts about a library's build, from `remoe_build_info`. */
export interface BuildInfo {
  /** `cpu`, `cuda`, or `emulated`, which runs the CUDA sources on a CPU for tests. */
  readonly backend: string;
  /** Version of the package it was built from. */
  readonly version: string;
  /** Compiler and version. */
  readonly compiler: string;
  /** Implementation of dense matrix products, such as `oneDNN 2.6.3`. */
  readonly gemm: string;
  /** Instruction sets it contains code for; one is chosen at run time. */
  readonly isa: readonly string[];
}

/** An open kernel library. */
export interface KernelLibrary {
  /** The file it was opened from. */
  readonly path: string;
  /** Its functions by C name. */
  readonly symbols: KernelSymbols;
  /** Functions of the contract that this build lacks; calling one returns `Status.unsupported`. */
  readonly missing: readonly SymbolName[];
  /** The contract version it was built for; always this package's. */
  readonly abiVersion: number;
  /** Facts about its build. */
  readonly buildInfo: BuildInfo;
  /** Unloads it. Close its contexts first: afterwards their addresses are invalid. */
  close(): void;
}

/**
 * Opens a kernel library and checks that it implements this version of the contract.
 *
 * Needs `--allow-ffi=<path>` and no other permission.
 *
 * @param path The file of the library.
 * @returns The open library; the caller closes it.
 * @throws {LibraryError} If the file is missing, not a kernel library, or of another ABI version.
 */
export function openLibrary(path: string): KernelLibrary {
  const opened = load(path);
  try {
    const abiVersion = opened.symbols.remoe_abi_version();
    if (abiVersion !== ABI_VERSION) {
      throw new LibraryError(
        `Cannot use "${path}": it has ABI version ${abiVersion}, this package calls version ` +
          `${ABI_VERSION}. Rebuild it, or remove it to use another one`,
      );
    }
    const { symbols, missing } = withStubs(opened.symbols);
    const buildInfo = readBuildInfo(path, symbols);
    return { path, symbols, missing, abiVersion, buildInfo, close: () => opened.close() };
  } catch (error) {
    opened.close();
    throw error;
  }
}

function load(path: string): Deno.DynamicLibrary<typeof SYMBOLS> {
  try {
    return Deno.dlopen(path, SYMBOLS);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LibraryError(`Cannot open "${path}" as a kernel library: ${reason}`, { cause });
  }
}

/** Wraps the functions in argument checks, and stubs those that the build lacks. */
function withStubs(
  loaded: Deno.StaticForeignLibraryInterface<typeof SYMBOLS>,
): { symbols: KernelSymbols; missing: SymbolName[] } {
  const unsupported = (): number => Status.unsupported;
  const missing: SymbolName[] = [];
  const symbols = Object.keys(SYMBOLS).map((key) => {
    const name = key as SymbolName;
    const call: KernelCall | null = loaded[name];
    if (call === null) missing.push(name);
    return [
      name,
      call === null ? unsupported : checkedCall(name, SYMBOLS[name].parameters, call),
    ];
  });
  return { symbols: Object.fromEntries(symbols) as KernelSymbols, missing };
}

type KernelCall = (...args: never[]) => unknown;

function readBuildInfo(path: string, symbols: KernelSymbols): BuildInfo {
  const text = readText((buffer, length) => symbols.remoe_build_info(buffer, length));
  try {
    return JSON.parse(text) as BuildInfo;
  } catch (cause) {
    throw new LibraryError(`Cannot use "${path}": its build information is not JSON: ${text}`, {
      cause,
    });
  }
}

/**
 * Reads a string from a function that fills a buffer and returns the size it needs.
 *
 * @param fill Writes at most `length` bytes and returns the size of the full string.
 * @returns The full string.
 */
export function readText(
  fill: (buffer: Uint8Array<ArrayBuffer>, length: bigint) => number,
): string {
  let buffer = new Uint8Array(1024);
  let needed = fill(buffer, BigInt(buffer.length));
  if (needed > buffer.length) {
    buffer = new Uint8Array(needed);
    needed = fill(buffer, BigInt(buffer.length));
  }
  return new TextDecoder().decode(buffer.subarray(0, Math.min(needed, buffer.length)));
}
