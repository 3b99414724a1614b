/**
 * A run's progress on standard error: a bar on a terminal, plain lines elsewhere.
 *
 * @module
 */

import { ProgressBar } from "@std/cli/unstable-progress-bar";
import { choosesExperts } from "../../lib/moe/router_of.ts";
import type { RouterTraits } from "../../lib/moe/router_row.ts";
import type { StepMetrics } from "../../lib/run/metrics_line.ts";
import { visible } from "../../lib/visible.ts";
import { formatCount, formatLambda, formatSeconds } from "../shared/format.ts";

/** Shows a run's progress. */
export interface Progress {
  /**
   * Takes a step's metrics.
   *
   * @param metrics The metrics.
   */
  step(metrics: StepMetrics): void;
  /**
   * Prints text above the progress.
   *
   * @param text One or more lines.
   */
  note(text: string): void;
  /** Ends the progress; text may be written as usual afterwards. */
  stop(): Promise<void>;
}

/** Options of {@linkcode createProgress}. */
export interface ProgressOptions {
  /** Steps in the whole run. */
  readonly steps: number;
  /** Steps taken before. */
  readonly from: number;
  /** The run's router, which determines the figures shown. */
  readonly router: Pick<RouterTraits, "routed" | "merges" | "lambda">;
  /** Columns of the terminal; null: not a terminal. */
  readonly columns: number | null;
  /** Writes text to standard error. */
  readonly write: (text: string) => void;
  /** Milliseconds from any fixed point. */
  readonly now: () => number;
}

/** Time between two plain lines: frequent enough to follow, rare enough for a log. */
const LINE_MS = 5000;

/**
 * Starts showing a run's progress.
 *
 * @param options The run, and where to show it.
 * @returns The progress.
 */
export function createProgress(options: ProgressOptions): Progress {
  const clock = new StepClock(options);
  return options.columns === null
    ? new LineProgress(options, clock)
    : new BarProgress(options, options.columns, clock);
}

/** Estimates the remaining time from the recent pace, validation and checkpoints included. */
class StepClock {
  readonly #steps: number;
  readonly #now: () => number;
  #last: number | undefined;
  #mean = 0;
  #weight = 0;

  constructor({ steps, now }: ProgressOptions) {
    this.#steps = steps;
    this.#now = now;
  }

  /** Takes a step; returns the seconds left after it. */
  tick({ step, ms }: StepMetrics): number {
    const now = this.#now();
    // The time before the first step went into reading the text and says nothing about the pace.
    const took = this.#last === undefined ? ms : now - this.#last;
    // A mean over some 20 steps: the pace rises severalfold as the routers become sparse.
    const decay = 0.95;
    this.#mean = decay * this.#mean + (1 - decay) * took;
    this.#weight = decay * this.#weight + (1 - decay);
    this.#last = now;
    return (this.#mean / this.#weight) * (this.#steps - step) / 1000;
  }
}

class LineProgress implements Progress {
  readonly #options: ProgressOptions;
  readonly #clock: StepClock;
  #shownAt = -Infinity;

  constructor(options: ProgressOptions, clock: StepClock) {
    this.#options = options;
    this.#clock = clock;
  }

  step(metrics: StepMetrics): void {
    const { steps, router, now, write } = this.#options;
    const left = this.#clock.tick(metrics);
    if (metrics.step < steps && now() - this.#shownAt < LINE_MS) return;
    this.#shownAt = now();
    write(`step ${metrics.step}/${steps}  ${figures(metrics, router, left)}\n`);
  }

  note(text: string): void {
    this.#options.write(`${visible(text)}\n`);
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

class BarProgress implements Progress {
  readonly #bar: ProgressBar;
  readonly #write: (text: string) => void;
  readonly #clock: StepClock;
  readonly #router: ProgressOptions["router"];
  #figures = "";

  constructor({ steps, from, router, write }: ProgressOptions, columns: number, clock: StepClock) {
    this.#write = write;
    this.#router = router;
    this.#clock = clock;
    this.#bar = new ProgressBar({
      max: steps,
      value: from,
      barLength: 20,
      fillChar: "█",
      emptyChar: "░",
      interval: 200,
      // A line longer than the terminal would wrap, and each redraw would start a new line.
      formatter: ({ progressBar, value, max }) =>
        `${progressBar} ${value}/${max}  ${this.#figures}`.slice(0, Math.max(1, columns - 1)),
    });
  }

  step(metrics: StepMetrics): void {
    this.#figures = figures(metrics, this.#router, this.#clock.tick(metrics));
    this.#bar.value = metrics.step;
  }

  note(text: string): void {
    // Overwrites the bar, which is redrawn below at its next turn.
    this.#write(`\r\x1b[K${visible(text)}\n`);
  }

  async stop(): Promise<void> {
    await this.#bar.stop();
  }
}

function figures(
  metrics: StepMetrics,
  router: ProgressOptions["router"],
  secondsLeft: number,
): string {
  const { loss, loss_causal, sparsity, lambda, tokens_per_second } = metrics;
  return [
    `loss ${loss.toFixed(3)}`,
    ...(loss_causal === undefined ? [] : [`causal ${loss_causal.toFixed(3)}`]),
    ...(choosesExperts(router) ? [`sparsity ${sparsity.toFixed(3)}`] : []),
    ...(router.lambda ? [`λ ${formatLambda(lambda)}`] : []),
    `${formatCount(tokens_per_second)} tokens/s`,
    `ETA ${formatSeconds(secondsLeft)}`,
  ].join("  ");
}
