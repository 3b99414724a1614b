/**
 * The horizontal axes of charts: steps, tokens, FLOPs or time.
 *
 * @module
 */

import type { StepMetrics } from "../run/metrics_line.ts";

/** What the horizontal axis measures. */
export type Horizontal = "step" | "tokens" | "flops" | "time";

/** An axis's title and number format. */
interface AxisText {
  readonly title: string;
  /** A Vega expression; absent: whole numbers with commas. */
  readonly labelExpr?: string;
}

/** Numbers like `20k`. The axis's own `format` would also write `0k`. */
export const PREFIXED_LABELS = "format(datum.value, '~s')";

/** The axes by name. */
export const HORIZONTALS: Readonly<Record<Horizontal, AxisText>> = {
  step: { title: "step" },
  tokens: { title: "tokens", labelExpr: PREFIXED_LABELS },
  flops: { title: "executed FLOPs", labelExpr: PREFIXED_LABELS },
  time: { title: "minutes of training steps", labelExpr: PREFIXED_LABELS },
};

/** Tracks a run's position on the horizontal axis, accumulating FLOPs and time step by step. */
export class Progress {
  readonly #along: Horizontal;
  #x = 0;

  /**
   * Starts at 0.
   *
   * @param along What the axis measures.
   */
  constructor(along: Horizontal) {
    this.#along = along;
  }

  /** The current position. */
  get x(): number {
    return this.#x;
  }

  /**
   * Advances by a step. Steps must come in order, from the run's first.
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
