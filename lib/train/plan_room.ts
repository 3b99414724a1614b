/** How many rows the dispatch plans of a step have room for. @module */

import type { TrainConfig } from "../config/config.ts";
import { rowsWithRoom } from "./kept_rows_plan.ts";
import { layerRows } from "./layer_rows.ts";

/** What decides on the room: a number of rows, or those of the last step with a margin. */
export type RoomRule = number | "follow";

/**
 * The rule for a device. Kernels on a CPU know the rows before they run, and need no room beyond
 * them; elsewhere scratch memory is taken before the routing is known.
 *
 * @param backend The device's backend.
 * @returns The rule.
 */
export function roomRule(backend: string): RoomRule {
  return backend === "cpu" ? Infinity : "follow";
}

/** How much the margin grows with each step that did not fit. */
const GROWTH = 1.25;

/** Rows per layer and micro-batch that a step has room for, read by the layers. */
export class PlanRoom {
  /** At first, room for all that the router may route. */
  rows: number;
  readonly #config: TrainConfig;
  readonly #rule: RoomRule;
  #margin = 1;

  constructor(config: TrainConfig, rule: RoomRule) {
    this.#config = config;
    this.#rule = rule;
    this.rows = rule === "follow" ? layerRows(config).dense : rule;
  }

  /**
   * Sets the room for the next step.
   *
   * @param rows Rows that each layer routed in the last step, per micro-batch.
   */
  follow(rows: readonly number[]): void {
    if (this.#rule !== "follow") return;
    // Micro-batches differ, and layers share the room.
    const most = Math.max(...rows, 1);
    this.rows = Math.ceil(rowsWithRoom(this.#config, most * this.#margin));
  }

  /**
   * Runs a step again that did not fit, with room for every row.
   *
   * @param run Takes the step.
   * @returns What it returns.
   */
  whole<T>(run: () => T): T {
    const { rows } = this;
    this.rows = Infinity;
    try {
      return run();
    } finally {
      this.rows = rows;
    }
  }

  /** Widens the margin after a step that did not fit: its like will come again. */
  widen(): void {
    this.#margin *= GROWTH;
  }
}
