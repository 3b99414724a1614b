/**
 * How many routed rows of each layer keep their pre-activations for the backward pass.
 *
 * The pre-activations [rows, 2W] are by far the largest thing a layer keeps, and in its first steps
 * a ReLU router routes all E·T rows. Whatever is not kept is computed again to the same bits, so
 * memory can follow the routing without any effect on the result, and without waiting for a count
 * from the device: a wrong guess costs time or memory alone.
 *
 * @module
 */

import type { Device } from "../autograd/device.ts";
import type { KeptRows } from "../moe/kept_rows.ts";
import type { TrainConfig } from "../config/config.ts";
import { mostActive, routerOf } from "../moe/router_of.ts";
import { estimateAt, rowBytes } from "./memory_estimate.ts";

/** Room for the rows of the next step over those of the last: they move by a few per cent. */
const MARGIN = 1.25;

/** Kept rows change in this many steps from none to all, so that the pool sees few sizes. */
const GRADES = 128;

/** Routed rows of a layer and micro-batch at both ends of a run. */
export interface LayerRows {
  /** In the first step, at most; before a ReLU router closes gates: all pairs of token and expert. */
  readonly dense: number;
  /** At the target sparsity. */
  readonly sparse: number;
}

/**
 * Counts the routed rows of a layer and micro-batch.
 *
 * @param config The whole configuration.
 * @returns Rows; both the same for routers that are sparse from the start.
 */
export function layerRows({ moe, data }: TrainConfig): LayerRows {
  const tokens = data.micro_batch * data.sequence;
  const sparse = moe.active * moe.granularity * tokens;
  const dense = mostActive(routerOf(moe), moe, 0) * tokens;
  return { dense, sparse };
}

/**
 * Shares out the rows that keep their pre-activations.
 *
 * @param config The whole configuration.
 * @param rows Rows of each layer that a micro-batch is expected to route.
 * @param budget Rows that may be kept, those of all layers together.
 * @returns Rows to keep in each layer: some more than expected, or in proportion what fits.
 */
export function keptRows(
  config: TrainConfig,
  rows: readonly number[],
  budget: number,
): readonly number[] {
  const { recompute } = config.memory;
  if (recompute === "always") return rows.map(() => 0);
  const wanted = rows.map((expected) => withRoom(config, expected));
  const sum = wanted.reduce((total, each) => total + each, 0);
  if (recompute === "never" || sum <= budget) return wanted;
  const share = Math.max(0, budget) / sum;
  return wanted.map((each) => Math.floor(each * share));
}

/** The expected rows and a margin, in whole grades; exact where the router decides their number. */
function withRoom(config: TrainConfig, expected: number): number {
  if (routerOf(config.moe).exact) return expected;
  const all = layerRows(config).dense;
  const grade = Math.max(1, Math.ceil(all / GRADES));
  return Math.min(all, Math.ceil(expected * MARGIN / grade) * grade);
}

/**
 * Counts the pre-activations that a limit leaves room for.
 *
 * @param device Whose kernels say what they take while they run; null: nobody's.
 * @param config The whole configuration.
 * @param limit Bytes of device memory.
 * @returns Rows, those of all layers together; negative where the limit is too low without any.
 */
export function keptBudget(device: Device | null, config: TrainConfig, limit: number): number {
  const least = estimateAt(device, config, layerRows(config).dense, 0).total;
  return Math.floor((limit - least) / rowBytes(config));
}

/** Adapts the kept rows of a model's layers to the rows that they route. */
export class KeptRowsPlan {
  /** What each layer keeps; read by the layers, changed between steps. */
  readonly layers: readonly KeptRows[];
  readonly #config: TrainConfig;
  readonly #budget: number;

  /**
   * Keeps as if every gate were open, for the first step.
   *
   * @param device What the run trains on.
   * @param config The whole configuration.
   * @param limit Bytes of device memory that the run may take.
   */
  constructor(device: Device | null, config: TrainConfig, limit: number) {
    this.#config = config;
    this.#budget = keptBudget(device, config, limit);
    this.layers = Array.from({ length: config.model.layers }, () => ({ rows: 0 }));
    this.expect(this.layers.map(() => layerRows(config).dense));
  }

  /** Rows kept by all layers together. */
  get total(): number {
    return this.layers.reduce((sum, { rows }) => sum + rows, 0);
  }

  /**
   * Sets what the layers keep in the next step.
   *
   * @param rows Rows of each layer that a micro-batch is expected to route.
   */
  expect(rows: readonly number[]): void {
    const kept = keptRows(this.#config, rows, this.#budget);
    for (const [layer, each] of this.layers.entries()) each.rows = kept[layer]!;
  }
}
