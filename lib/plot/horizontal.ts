/**
 * What charts may run along: steps, tokens, FLOPs or time.
 *
 * @module
 */

import type { StepMetrics } from "../run/metrics_line.ts";

/** What the horizontal axis measures. */
export type Horizontal = "step" | "tokens" | "flops" | "time";

/** How an axis is headed, and how it writes its numbers. */
interface AxisText {
  readonly title: string;
  /** An expression of Vega's; absent: whole numbers with commas. */
  readonly labelExpr?: string;
}

/** Numbers like `20k`. A format of the axis itself would write `0k` too. */
export const PREFIXED_LABELS = "format(datum.value, '~s')";

/** The axes by name. */
export const HORIZONTALS: Readonly<Record<Horizontal, AxisText>> = {
  step: { title: "step" },
  tokens: { title: "tokens", labelExpr: PREFIXED_LABELS },
  flops: { title: "FLOPs, executed", labelExpr: PREFIXED_LABELS },
  time: { title: "minutes of training steps", labelExpr: PREFIXED_LABELS },
};

/** Adds up where a run has got to, step by step: FLOPs and time are those of the steps before as well. */
export class Progress {
  readonly #along: Horizontal;
  #x = 0;

  /**
   * Starts at nothing.
   *
   * @param along What to add up.
   */
  constructor(along: Horizontal) {
    this.#along = along;
  }

  /** Where the run has got to. */
  get x(): number {
    return this.#x;
  }

  /**
   * Goes on by a step; steps come in order, the run's first ones included.
   *
   * @param step The step's figures.
   */
  add({ step, tokens, gflops_executed, ms }: StepMetrics): void {
    switch (this.#along) {
      case "step":
        this.#x = step;
        break;
      case "tokens":
        this.#x = tokens;
        break;
      case "flops":
        this.#x += gflops_executed * 1e9 * ms / 1000;
        break;
      case "time":
        this.#x += ms / 60_000;
    }
  }
}
