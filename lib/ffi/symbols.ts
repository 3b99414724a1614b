import { LIBRARY_SYMBOLS, type LibrarySymbols } from "./symbols/library.ts";
import { MOE_SYMBOLS, type MoeSymbols } from "./symbols/moe.ts";
import { OPTIMIZER_SYMBOLS, type OptimizerSymbols } from "./symbols/optimizer.ts";
import { PROBE_SYMBOLS, type ProbeSymbols } from "./symbols/probe.ts";
import { STREAM_SYMBOLS, type StreamSymbols } from "./symbols/stream.ts";
import { TENSOR_SYMBOLS, type TensorSymbols } from "./symbols/tensor.ts";
import { TRANSFORMER_SYMBOLS, type TransformerSymbols } from "./symbols/transformer.ts";

export type { HostBuffer } from "./symbols/host_buffer.ts";
export type {
  LibrarySymbols,
  MoeSymbols,
  OptimizerSymbols,
  ProbeSymbols,
  StreamSymbols,
  TensorSymbols,
  TransformerSymbols,
};

/**
 * The functions of an open library, called through this object: that keeps them on Deno's fast
 * path. All are callable; one that a build lacks returns `Status.unsupported`.
 *
 * The compiler holds these signatures and the table of C types together.
 */
export interface KernelSymbols
  extends
    LibrarySymbols,
    StreamSymbols,
    OptimizerSymbols,
    TensorSymbols,
    MoeSymbols,
    TransformerSymbols,
    ProbeSymbols {}

/** The name of a function of the contract. */
export type SymbolName = keyof KernelSymbols;

/**
 * The C types of every function of `kernels/include/remoe.h`. A wrong one corrupts memory rather
 * than failing, so `tests/ffi/symbols_test.ts` compares the table with the header.
 *
 * Addresses are `u64`: as fast as a pointer, packable into a `BigUint64Array`, and usable with
 * `--allow-ffi=<library>` alone, while `Deno.UnsafePointer` asks for unscoped `--allow-ffi`.
 */
export const SYMBOLS = {
  ...LIBRARY_SYMBOLS,
  ...STREAM_SYMBOLS,
  ...OPTIMIZER_SYMBOLS,
  ...TENSOR_SYMBOLS,
  ...MOE_SYMBOLS,
  ...TRANSFORMER_SYMBOLS,
  ...PROBE_SYMBOLS,
} as const satisfies Record<SymbolName, Deno.ForeignFunction>;
