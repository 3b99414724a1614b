/**
 * How many routed rows of each layer keep their pre-activations for the backward pass.
 *
 * The pre-activations [rows, 2W] are by far the largest tensor a layer keeps, and a ReLU router
 * routes all E·T rows in its first steps. Those not kept are recomputed to the same bits, so memory
 * can follow the routing without affecting the result, and without waiting for a count from the
 * device: a wrong guess costs only time or memory.
 *
 * @module
 */

import { routedLayers } from "../config/layer_widths.ts";
import type { Device } from "../autograd/device.ts";
import type { KeptRows } from "../moe/kept_rows.ts";
import type { TrainConfig } from "../config/config.ts";
import { routerOf } from "../moe/router_of.ts";
import { typeToExpect } from "../config/compute_type.ts";
import { layerRows } from "./layer_rows.ts";
import { logitBytes } from "./logit_bytes.ts";
import { estimateAt, rowBytes } from "./memory_estimate.ts";

/** Headroom for the next step's rows over the last's: they fluctuate by a few per cent. */
const MARGIN = 1.25;

/**
 * When the kept rows fall below this share of the most since the last trim, the memory pool should
 * return what it holds to the system: gigabytes, as a large model's router becomes sparse. Smaller
 * drops may be mere fluctuation, and memory needed again would have to be mapped again.
 */
const TRIM_BELOW = 0.5;

/** Kept rows take only this many values between none and all, so that the pool sees few sizes. */
const GRADES = 128;

/**
 * Shares out among the layers the rows that keep their pre-activations.
 *
 * @param config The full configuration.
 * @param rows Rows that each layer is expected to route per micro-batch.
 * @param budget Rows that may be kept, over all layers.
 * @returns Rows to keep per layer: the expected rows with headroom, scaled down to the budget.
 */
export function keptRows(
  config: TrainConfig,
  rows: readonly number[],
  budget: number,
): readonly number[] {
  const { recompute } = config.memory;
  if (recompute === "always") return rows.map(() => 0);
  const wanted = rows.map((expected) => rowsWithRoom(config, expected));
  const sum = wanted.reduce((total, each) => total + each, 0);
  if (recompute === "never" || sum <= budget) return wanted;
  const share = Math.max(0, budget) / sum;
  return wanted.map((each) => Math.floor(each * share));
}

/** The expected rows with headroom, rounded up to a grade; unchanged if the router fixes them. */
export function rowsWithRoom(config: TrainConfig, expected: number): number {
  if (routerOf(config.moe).exact) return expected;
  const all = layerRows(config).dense;
  const grade = Math.max(1, Math.ceil(all / GRADES));
  return Math.min(all, Math.ceil(expected * MARGIN / grade) * grade);
}

/**
 * Counts the rows whose pre-activations fit under a memory limit.
 *
 * @param device The device whose kernels state their scratch memory; null: none.
 * @param config The full configuration.
 * @param limit Bytes of device memory.
 * @returns Rows over all layers; negative if the limit is too low even for none.
 */
export function keptBudget(device: Device | null, config: TrainConfig, limit: number): number {
  const logits = logitBytes(device, config, limit);
  const least = estimateAt(device, config, layerRows(config).dense, 0, logits).total;
  return Math.floor((limit - least) / rowBytes(config, typeToExpect(config, device)));
}

/** Adapts the kept rows of a model's layers to the rows they route. */
export class KeptRowsPlan {
  /** What each layer keeps: read by the layers, updated between steps. */
  readonly layers: readonly KeptRows[];
  readonly #config: TrainConfig;
  readonly #budget: number;
  #largest: number;

  /**
   * Plans the first step as if every gate were open.
   *
   * @param device The device that will train; null: none.
   * @param config The full configuration.
   * @param limit Bytes of device memory that the run may take.
   */
  constructor(device: Device | null, config: TrainConfig, limit: number) {
    this.#config = config;
    this.#budget = keptBudget(device, config, limit);
    this.layers = Array.from({ length: routedLayers(config) }, () => ({ rows: 0 }));
    this.expect(this.layers.map(() => layerRows(config).dense));
    this.#largest = this.total;
  }

  /** Rows kept by all layers together. */
  get total(): number {
    return this.layers.reduce((sum, { rows }) => sum + rows, 0);
  }

  /**
   * Sets what the layers keep in the next step.
   *
   * @param rows Rows that each layer is expected to route per micro-batch.
   */
  expect(rows: readonly number[]): void {
    const kept = keptRows(this.#config, rows, this.#budget);
    for (const [layer, each] of this.layers.entries()) each.rows = kept[layer]!;
  }

  /**
   * Sets what the layers keep in the next step from the rows of the last one.
   *
   * @param rows Rows that each layer routed, per micro-batch.
   * @returns Whether so much memory falls free that the pool should be trimmed.
   */
  follow(rows: readonly number[]): boolean {
    this.expect(rows);
    const { total } = this;
    const falls = total < TRIM_BELOW * this.#largest;
    if (falls || total > this.#largest) this.#largest = total;
    return falls;
  }
}
