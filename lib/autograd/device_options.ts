/** Options for opening devices, and the facts they report. @module */

import { fileURLToPath } from "node:url";
import {
  LARGEST_SIZE,
  requireFlag,
  requireOneOf,
  requireOptions,
  requireWhole,
  shown,
} from "../arguments.ts";

/** Options for opening a device. */
export interface DeviceOptions {
  /** `auto` prefers CUDA and falls back to the CPU. Default `auto`. */
  kind?: "auto" | "cpu" | "cuda";
  /** CPU threads; 0 means one per available core. Default 0. */
  threads?: number;
  /** Seed of every random draw on this device. Default 0. */
  seed?: number;
  /** A kernel library to use instead of searching for one. */
  library?: string | URL;
  /** Remembers where each tensor was made, for {@linkcode Device.leaks}. Default false. */
  debug?: boolean;
}

/** Memory counters of a device. */
export interface DeviceStatistics {
  /** Bytes of live tensors. */
  readonly inUse: number;
  /** Peak of the bytes in use. */
  readonly peak: number;
  /** Bytes obtained from the system, in use or cached. */
  readonly held: number;
  /** Number of live blocks. */
  readonly blocks: number;
}

/** Facts about a device. */
export interface DeviceInfo {
  /** `cpu`, `cuda` or `emulated`. */
  readonly backend: string;
  /** The processor's name. */
  readonly name: string;
  /** Instruction set or architecture chosen at run time. */
  readonly isa: string;
  /** CPU threads. */
  readonly threads: number;
  /** Implementation of dense matrix products. */
  readonly gemm: string;
  /** The unit that computes bf16 products; `fp32` if there is none, and they are widened. */
  readonly bf16: string;
  /** The device's memory in bytes; on the CPU the machine's memory or its container's limit. */
  readonly memoryBytes: number;
  /** Path of the kernel library. */
  readonly library: string;
}

/** Checked options, with defaults filled in. */
export interface CheckedOptions extends Required<Omit<DeviceOptions, "library">> {
  /** Path of the kernel library, if one was given. */
  readonly path?: string;
}

/** Checks options and fills in defaults. */
export function checkedOptions(options: DeviceOptions): CheckedOptions {
  requireOptions("open a device", options, {
    kind: true,
    threads: true,
    seed: true,
    library: true,
    debug: true,
  });
  const { kind = "auto", threads = 0, seed = 0, library, debug = false } = options;
  requireOneOf("open a device", "kind", kind, ["auto", "cpu", "cuda"]);
  requireWhole("open a device", "threads", threads, { most: LARGEST_SIZE });
  requireWhole("open a device", "seed", seed);
  requireFlag("open a device", "debug", debug);
  if (library !== undefined && typeof library !== "string" && !(library instanceof URL)) {
    throw new TypeError(
      `Cannot open a device: library is ${shown(library)}, expected a path or a file URL`,
    );
  }
  const path = library instanceof URL ? fileURLToPath(library) : library;
  return { kind, threads, seed, debug, ...(path === undefined ? {} : { path }) };
}
