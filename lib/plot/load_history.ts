/**
 * The load of experts over a run, in a fixed number of stretches of time.
 *
 * @module
 */

/** The mean load over some steps. */
export interface LoadStretch {
  /** First step. */
  readonly from: number;
  /** Last step. */
  readonly to: number;
  /** Of each layer, the mean share of its routed rows that each expert got. */
  readonly load: readonly (readonly number[])[];
}

interface Stretch {
  from: number;
  to: number;
  count: number;
  sums: number[][];
}

/** Adds up loads as they are read: those of 60,000 steps would fill the memory. */
export class LoadHistory {
  readonly #most: number;
  #stretches: Stretch[] = [];
  #width = 1;

  /**
   * Starts with nothing.
   *
   * @param most Most stretches to keep, even.
   */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Adds a step; steps come in order.
   *
   * @param step The step.
   * @param load Of each layer, the share of each expert.
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
   * Gives the means.
   *
   * @returns The stretches in order, all of about one length.
   */
  stretches(): LoadStretch[] {
    return this.#stretches.map(({ from, to, count, sums }) => ({
      from,
      to,
      load: sums.map((layer) => layer.map((sum) => sum / count)),
    }));
  }

  /** Every two neighbours become one. */
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
