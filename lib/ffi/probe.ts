import type { KernelContext } from "./context.ts";

/** How long a probe measures, and on how much. */
export interface ProbeOptions {
  /** CPU threads, default 0: those of the context. */
  readonly threads?: number;
  /** Seconds of each measurement, default 0.2. */
  readonly seconds?: number;
  /** Bytes copied at a time, default 256 MiB: more than the caches hold. */
  readonly bytes?: number;
}

/** What a device can do at most, as measured on it. */
export interface DevicePeak {
  /** Fused multiply-adds from registers alone, in GFLOPS, each counted as two operations. */
  readonly gflops: number;
  /** Bandwidth of a copy in GB/s, reading and writing counted. */
  readonly gigabytesPerSecond: number;
}

/**
 * Measures the peak of arithmetic: the figure which shares of the peak refer to.
 *
 * @param context The device.
 * @param options Threads and seconds.
 * @returns GFLOPS.
 * @throws {DeviceError} If the library cannot measure it.
 */
export function probeFma(context: KernelContext, options: ProbeOptions = {}): number {
  const { threads = 0, seconds = 0.2 } = options;
  const gflops = new Float64Array(1);
  const { symbols, handle } = context;
  context.check(
    symbols.remoe_probe_fma(handle, threads || context.info().threads, seconds, gflops),
    "probe of fused multiply-adds",
  );
  return gflops[0]!;
}

/**
 * Measures the bandwidth of a copy.
 *
 * @param context The device.
 * @param options Seconds and bytes.
 * @returns GB/s, reading and writing counted.
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
