/**
 * The load of experts over a run, in a bounded number of stretches of steps.
 *
 * @module
 */

import { addCounts, expertShares } from "../run/expert_counts.ts";

/** The load over a stretch of steps. */
export interface LoadStretch {
  /** First step. */
  readonly from: number;
  /** Last step. */
  readonly to: number;
  /** Per layer, each expert's share of the rows that it routed in these steps. */
  readonly load: readonly (readonly number[])[];
}

interface Stretch {
  from: number;
  to: number;
  count: number;
  sums: number[][];
}

/** Aggregates loads as they are read: those of 60,000 steps would not fit in memory. */
export class LoadHistory {
  readonly #most: number;
  #stretches: Stretch[] = [];
  #width = 1;

  /**
   * Starts empty.
   *
   * @param most Most stretches to keep: 1, or an even number.
   */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Adds a step. Steps must come in order.
   *
   * @param step The step.
   * @param counts Rows per layer and expert.
   */
  add(step: number, counts: readonly (readonly number[])[]): void {
    const own = { from: step, to: step, count: 1, sums: counts.map((rows) => [...rows]) };
    const last = this.#stretches.at(-1);
    if (last !== undefined && last.count < this.#width) return merge(last, own);
    if (this.#stretches.length === this.#most) {
      this.#halve();
      return this.add(step, counts);
    }
    this.#stretches.push(own);
  }

  /**
   * Sums up what was added.
   *
   * @returns The stretches in order, all of about equal length.
   */
  stretches(): LoadStretch[] {
    return this.#stretches.map(({ from, to, sums }) => ({ from, to, load: expertShares(sums) }));
  }

  /** Merges neighbouring stretches in pairs. */
  #halve(): void {
    this.#stretches = this.#stretches.filter((stretch, index, all) => {
      const next = all[index + 1];
      if (index % 2 === 0 && next !== undefined) merge(stretch, next);
      return index % 2 === 0;
    });
    this.#width *= 2;
  }
}

function merge(into: Stretch, other: Stretch): void {
  into.to = other.to;
  into.count += other.count;
  addCounts(into.sums, other.sums);
}
