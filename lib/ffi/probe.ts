import { DTypeCode } from "./codes.ts";
import type { KernelContext } from "./context.ts";

/** Options of a measurement. */
export interface ProbeOptions {
  /** CPU threads; 0 means the context's. Default 0. */
  readonly threads?: number;
  /** Type whose products are timed. Default fp32. */
  readonly dtype?: "f32" | "bf16";
  /** Duration of each measurement in seconds. Default 0.2. */
  readonly seconds?: number;
  /** Bytes per copy. Default 256 MiB, which exceeds the caches. */
  readonly bytes?: number;
}

/** Peak performance measured on a device. */
export interface DevicePeak {
  /** GFLOPS of fused multiply-adds on registers, each counted as two operations. */
  readonly gflops: number;
  /** Copy bandwidth in GB/s, counting reads and writes. */
  readonly gigabytesPerSecond: number;
}

/**
 * Measures peak arithmetic throughput, the reference for percentages of peak.
 *
 * @param context The device.
 * @param options Threads, type and seconds.
 * @returns GFLOPS.
 * @throws {DeviceError} If the library cannot measure it, or the device has no unit for the type.
 */
export function probeFma(context: KernelContext, options: ProbeOptions = {}): number {
  const { threads = 0, dtype = "f32", seconds = 0.2 } = options;
  const gflops = new Float64Array(1);
  const { symbols, handle } = context;
  context.check(
    symbols.remoe_probe_fma(
      handle,
      DTypeCode[dtype],
      threads || context.info().threads,
      seconds,
      gflops,
    ),
    "probe of fused multiply-adds",
  );
  return gflops[0]!;
}

/**
 * Measures copy bandwidth.
 *
 * @param context The device.
 * @param options Seconds and bytes.
 * @returns GB/s, counting reads and writes.
 * @throws {DeviceError} If the library cannot measure it, or the memory is exhausted.
 */
export function probeCopy(context: KernelContext, options: ProbeOptions = {}): number {
  const { seconds = 0.2, bytes = 256 * 1024 * 1024 } = options;
  const bandwidth = new Float64Array(1);
  const { symbols, handle } = context;
  context.check(
    symbols.remoe_probe_copy(handle, BigInt(bytes), seconds, bandwidth),
    "probe of the bandwidth of a copy",
  );
  return bandwidth[0]!;
}

/**
 * Measures both peaks of a device.
 *
 * @param context The device.
 * @param options Threads, seconds and bytes.
 * @returns Arithmetic and bandwidth.
 * @throws {DeviceError} If the library cannot measure them.
 */
export function measurePeak(context: KernelContext, options: ProbeOptions = {}): DevicePeak {
  return {
    gflops: probeFma(context, options),
    gigabytesPerSecond: probeCopy(context, options),
  };
}
