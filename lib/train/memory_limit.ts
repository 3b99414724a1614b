/**
 * The device memory that a run may use, and whether it suffices.
 *
 * @module
 */

import { requireOptions } from "../arguments.ts";
import { requireBytes, requireConfig } from "../config/require.ts";
import { ConfigError } from "../errors.ts";
import type { TrainConfig } from "../config/config.ts";
import { estimateMemory, type EstimateOptions } from "./stage_memory.ts";

/** Share of a device's memory that a run may use; the rest is for the text and the system. */
const DEFAULT_SHARE = 0.85;

const [MIB, GIB] = [2 ** 20, 2 ** 30];

/**
 * Returns the device memory that a run may use: `memory.limit_gib`, or else 85 % of the device's.
 *
 * @param config The configuration.
 * @param deviceBytes The device's memory in bytes.
 * @returns The limit in bytes.
 * @throws {ConfigError} If `memory.limit_gib` is more than the device has.
 * @throws {RangeError} If `deviceBytes` is not a number above 0.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryLimit, parseConfig } from "@remoe/remoe/train";
 *
 * assertEquals(memoryLimit(parseConfig({ memory: { limit_gib: 2 } }), 2 ** 34), 2 ** 31);
 * ```
 */
export function memoryLimit(config: TrainConfig, deviceBytes: number): number {
  requireConfig(config, ["memory"]);
  const { memory } = config;
  requireBytes("limit memory", "deviceBytes", deviceBytes);
  if (memory.limit_gib === null) return DEFAULT_SHARE * deviceBytes;
  const limit = memory.limit_gib * GIB;
  if (limit <= deviceBytes) return limit;
  throw new ConfigError(
    `Cannot train: memory.limit_gib is ${memory.limit_gib}, the device has ` +
      `${memoryText(deviceBytes)}; lower it, or leave it out`,
  );
}

/**
 * Refuses a run that will not fit, before it starts.
 *
 * @param config The configuration.
 * @param limit Bytes of device memory, see {@linkcode memoryLimit}.
 * @param options The device that will train, if it is open.
 * @throws {ConfigError} If the run needs more even when it recomputes pre-activations; names the
 * largest micro-batch that would fit.
 *
 * @example
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { checkMemory, parseConfig } from "@remoe/remoe/train";
 *
 * assertThrows(() => checkMemory(parseConfig({ preset: "978m" }), 2 ** 34), TypeError);
 * ```
 */
export function checkMemory(
  config: TrainConfig,
  limit: number,
  options: Pick<EstimateOptions, "device"> = {},
): void {
  requireOptions("check memory", options, { device: true });
  const needed = largestStage(config, { ...options, limit });
  if (needed <= limit) return;
  throw new ConfigError(
    `Cannot train within ${memoryText(limit)} of device memory: the run needs about ` +
      `${memoryText(needed)}; ${advice(config, { ...options, limit })}, or raise memory.limit_gib`,
  );
}

function largestStage(config: TrainConfig, options: EstimateOptions): number {
  const { dense, sparse } = estimateMemory(config, options);
  return Math.max(dense.total, sparse.total);
}

function advice(
  config: TrainConfig,
  options: EstimateOptions & { readonly limit: number },
): string {
  const { data } = config;
  for (let micro_batch = data.micro_batch - 1; micro_batch >= 1; micro_batch--) {
    if (data.batch % micro_batch !== 0) continue;
    const smaller = { ...config, data: { ...data, micro_batch } };
    if (largestStage(smaller, options) <= options.limit) {
      return `data.micro_batch=${micro_batch} would fit`;
    }
  }
  return "no micro-batch is small enough: use a smaller model or fewer experts";
}

/**
 * Writes an amount of memory for a message, in a unit in which it is not 0.0.
 *
 * @param bytes The amount.
 * @returns Like `1.5 GiB` or `12 MiB`.
 */
export function memoryText(bytes: number): string {
  if (bytes >= GIB) return `${(bytes / GIB).toFixed(1)} GiB`;
  return bytes >= MIB ? `${(bytes / MIB).toFixed(0)} MiB` : `${Math.round(bytes)} bytes`;
}
