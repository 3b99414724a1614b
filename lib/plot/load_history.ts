/**
 * The load of experts over a run, in a bounded number of stretches of steps.
 *
 * @module
 */

/** The mean load over a stretch of steps. */
export interface LoadStretch {
  /** First step. */
  readonly from: number;
  /** Last step. */
  readonly to: number;
  /** Per layer, each expert's mean share of the routed rows. */
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
   * @param load Per layer, each expert's share.
   */
  add(step: number, load: readonly (readonly number[])[]): void {
    const last = this.#stretches.at(-1);
    if (last !== undefined && last.count < this.#width) {
      merge(last, { from: step, to: step, count: 1, sums: load.map((shares) => [...shares]) });
      return;
    }
    if (this.#stretches.length === this.#most) {
      this.#halve();
      return this.add(step, load);
    }
    const sums = load.map((shares) => [...shares]);
    this.#stretches.push({ from: step, to: step, count: 1, sums });
  }

  /**
   * Averages what was added.
   *
   * @returns The stretches in order, all of about equal length.
   */
  stretches(): LoadStretch[] {
    return this.#stretches.map(({ from, to, count, sums }) => ({
      from,
      to,
      load: sums.map((layer) => layer.map((sum) => sum / count)),
    }));
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
  for (const [layer, sums] of into.sums.entries()) {
    for (let expert = 0; expert < sums.length; expert++) {
      sums[expert]! += other.sums[layer]?.[expert] ?? 0;
    }
  }
}
