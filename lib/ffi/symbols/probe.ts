import type { HostBuffer } from "./host_buffer.ts";

/** Probes of the hardware. `kernels/include/remoe.h` has the shapes. */
export interface ProbeSymbols {
  /** Measures the peak of fused multiply-adds in GFLOPS. */
  remoe_probe_fma(context: bigint, threads: number, seconds: number, gflops: HostBuffer): number;
  /** Measures the bandwidth of a copy in GB/s. */
  remoe_probe_copy(
    context: bigint,
    bytes: bigint,
    seconds: number,
    gigabytesPerSecond: HostBuffer,
  ): number;
}

/** The C types of {@linkcode ProbeSymbols}, in the order of declaration. */
export const PROBE_SYMBOLS = {
  remoe_probe_fma: {
    parameters: ["u64", "i32", "f64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_probe_copy: {
    parameters: ["u64", "u64", "f64", "buffer"],
    result: "i32",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;
