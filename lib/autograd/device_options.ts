/** How devices are opened, and what they say of themselves. @module */

import { fileURLToPath } from "node:url";
import {
  LARGEST_SIZE,
  requireFlag,
  requireOneOf,
  requireOptions,
  requireWhole,
  shown,
} from "../arguments.ts";

/** How a device is opened. */
export interface DeviceOptions {
  /** `auto` takes CUDA where there is one, else the CPU. Default `auto`. */
  kind?: "auto" | "cpu" | "cuda";
  /** CPU threads; 0, the default, takes one per available core. */
  threads?: number;
  /** Seed of every random draw on this device. Default 0. */
  seed?: number;
  /** A kernel library to use instead of the one that is found. */
  library?: string | URL;
  /** Remembers where each tensor was made, for {@linkcode Device.leaks}. Default false. */
  debug?: boolean;
}

/** Memory of a device, in bytes. */
export interface DeviceStatistics {
  /** Bytes of the tensors alive. */
  readonly inUse: number;
  /** Most bytes in use at once. */
  readonly peak: number;
  /** Bytes held from the system, in use or cached. */
  readonly held: number;
  /** Number of blocks alive. */
  readonly blocks: number;
}

/** What a device says of itself. */
export interface DeviceInfo {
  /** `cpu`, `cuda` or `emulated`. */
  readonly backend: string;
  /** The processor's name. */
  readonly name: string;
  /** The instruction set or architecture chosen at run time. */
  readonly isa: string;
  /** CPU threads. */
  readonly threads: number;
  /** Implementation of dense products. */
  readonly gemm: string;
  /** The device's memory in bytes; on the CPU the machine's, or what its container grants. */
  readonly memoryBytes: number;
  /** Path of the kernel library. */
  readonly library: string;
}

/** Options that were checked: which library to open, and how. */
export interface CheckedOptions extends Required<Omit<DeviceOptions, "library">> {
  /** Path of the kernel library, where one was named. */
  readonly path?: string;
}

/** Refuses options out of their ranges, and fills in what is left out. */
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
