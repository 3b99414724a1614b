/**
 * A run's figures as charts need them: one list per figure.
 *
 * @module
 */

import { routedLayers } from "../config/layer_widths.ts";
import { ConfigError, FileError } from "../errors.ts";
import type { TrainConfig } from "../config/config.ts";
import { exists } from "../files.ts";
import { metricsLines } from "../run/metrics.ts";
import {
  type FlipMetrics,
  isFlips,
  isValidation,
  STEP_FIGURES,
  type StepFigure,
  type StepMetrics,
  type ValidationMetrics,
} from "../run/metrics_line.ts";
import { findRun, METRICS } from "../run/find_run.ts";
import type { Stage } from "../checkpoint/stage.ts";
import { visibleName } from "../visible.ts";
import { type Horizontal, Progress } from "./horizontal.ts";
import { expertCounts } from "../run/expert_counts.ts";
import { LoadHistory, type LoadStretch } from "./load_history.ts";
import { routedSizes } from "../moe/layer_sizes.ts";

/** A figure at a step. */
export interface Point {
  /** The step's position on the horizontal axis. */
  readonly x: number;
  /** The figure; non-finite where the run's was. */
  readonly value: number;
}

/** A stage of a run. */
export interface StageSpan {
  /** The stage. */
  readonly stage: Stage;
  /** Its first step, or the first one drawn. */
  readonly step: number;
  /** That step's position on the horizontal axis. */
  readonly from: number;
  /** The position of its last step, or of the last one drawn. */
  readonly to: number;
}

/** A validation and its position on the horizontal axis. */
export interface PlacedValidation extends ValidationMetrics {
  readonly x: number;
}

/** Routing flips and their position on the horizontal axis. */
export interface PlacedFlips extends FlipMetrics {
  readonly x: number;
}

/** A run's configuration and figures. */
export interface RunFigures {
  /** The run directory. */
  readonly path: string;
  /** Its name in the charts. */
  readonly label: string;
  /** Its configuration. */
  readonly config: TrainConfig;
  /** What its horizontal axis measures. */
  readonly along: Horizontal;
  /** Where the learning rate's warm-up ends; the first point if the warm-up is not drawn. */
  readonly warm: number;
  /** Each figure, step by step. */
  readonly figures: Readonly<Record<StepFigure, readonly Point[]>>;
  /** The sparsity of each layer, step by step. */
  readonly layers: readonly (readonly Point[])[];
  /** The validations. */
  readonly validations: readonly PlacedValidation[];
  /** The routing flips. */
  readonly flips: readonly PlacedFlips[];
  /** The stages; a TopK run is sparse throughout, a dense one dense throughout. */
  readonly stages: readonly StageSpan[];
  /** The experts' load over time. */
  readonly load: readonly LoadStretch[];
  /** The experts' load over the last steps. */
  readonly finalLoad: LoadStretch;
  /** The last step's figures. */
  readonly last: StepMetrics;
}

/** Which steps to read, and along which axis. */
export interface ReadOptions {
  /** What the horizontal axis measures; default steps. */
  readonly along?: Horizontal;
  /** The first step; default the run's. */
  readonly from?: number;
  /** The last step; default the run's. */
  readonly to?: number;
}

/** Steps averaged for the final load. */
const FINAL_STEPS = 100;
/** Cells of a run's load history chart: more would enlarge the file and look no different. */
const LOAD_CELLS = 24_000;

/**
 * Reads a run's figures; the run may still be training.
 *
 * @param path The run directory.
 * @param label Its name in the charts.
 * @param options Which steps to read, and along which axis.
 * @returns The figures.
 * @throws {ConfigError} If there is no run, it has no steps in the range, or a line of its metrics
 * is malformed.
 */
export function readRunFigures(
  path: string,
  label: string,
  options: ReadOptions = {},
): RunFigures {
  const { from = 1, to = Infinity, along = "step" } = options;
  const run = findRun(path);
  const file = `${run.path}/${METRICS}`;
  const progress = new Progress(along);
  const reader = new FiguresReader(run.config, progress);
  for (const { line, number } of linesOf(file)) {
    if (!isValidation(line) && !isFlips(line)) progress.add(line);
    if (line.step < from || line.step > to) continue;
    const problem = isValidation(line)
      ? reader.addValidation(line)
      : isFlips(line)
      ? reader.addFlips(line)
      : reader.addStep(line);
    if (problem !== null) throw notFigures(file, number, problem);
  }
  const figures = reader.finish();
  if (figures === null) {
    const where = from > 1 || to < Infinity
      ? `no step from ${from} to ${to === Infinity ? "its end" : to}`
      : "no step yet";
    throw new ConfigError(`Cannot plot ${path}: ${file} holds ${where}`);
  }
  return { path: run.path, label, config: run.config, along, ...figures };
}

function* linesOf(file: string): ReturnType<typeof metricsLines> {
  try {
    yield* metricsLines(file);
  } catch (cause) {
    if (cause instanceof FileError && !exists(file)) {
      throw new ConfigError(`Cannot plot: ${file} is missing; the run has no steps yet`, { cause });
    }
    if (cause instanceof SyntaxError) throw new ConfigError(cause.message, { cause });
    throw cause;
  }
}

function notFigures(file: string, number: number, why: string): ConfigError {
  return new ConfigError(`Cannot read line ${number} of ${file}: ${why}`);
}

/** Takes lines in order and collects their figures into lists. */
class FiguresReader {
  readonly #figures: Record<StepFigure, Point[]>;
  readonly #layers: Point[][] = [];
  readonly #validations: PlacedValidation[] = [];
  readonly #flips: PlacedFlips[] = [];
  readonly #stages: { stage: Stage; step: number; from: number; to: number }[] = [];
  readonly #history: LoadHistory;
  readonly #recent: StepMetrics[] = [];
  readonly #progress: Progress;
  /** Pairs of token and expert in a layer, over a step. */
  readonly #pairs: number;
  /** The first step after the warm-up. */
  readonly #warmStep: number;
  #warm: number | null = null;

  constructor(config: TrainConfig, progress: Progress) {
    const { moe, data, schedule } = config;
    this.#progress = progress;
    this.#warmStep = schedule.warmup + 1;
    this.#figures = Object.fromEntries(
      STEP_FIGURES.map((name): [StepFigure, Point[]] => [name, []]),
    ) as Record<StepFigure, Point[]>;
    const { experts } = routedSizes(moe);
    this.#pairs = data.batch * data.sequence * experts;
    const cells = routedLayers(config) * experts;
    this.#history = new LoadHistory(
      2 * Math.min(60, Math.max(10, Math.floor(LOAD_CELLS / cells / 2))),
    );
  }

  /** Adds a step's line; returns what is wrong with it, or null. */
  addStep(line: StepMetrics): string | null {
    const { step, stage, sparsity_per_layer, expert_load } = line;
    if (!("loss" in line) || !Array.isArray(sparsity_per_layer) || !Array.isArray(expert_load)) {
      return "it is neither a step's figures nor a validation's";
    }
    const { x } = this.#progress;
    if (this.#warm === null || step <= this.#warmStep) this.#warm = x;
    for (const name of STEP_FIGURES) this.#figures[name].push({ x, value: numberOf(line[name]) });
    for (const [layer, value] of sparsity_per_layer.entries()) {
      (this.#layers[layer] ??= []).push({ x, value: numberOf(value) });
    }
    const current = this.#stages.at(-1);
    if (current?.stage === stage) current.to = x;
    else this.#stages.push({ stage, step, from: x, to: x });
    this.#history.add(x, expertCounts(line, this.#pairs));
    this.#recent.push(line);
    if (this.#recent.length > FINAL_STEPS) this.#recent.shift();
    return null;
  }

  /** Adds a validation's line; returns what is wrong with it, or null. */
  addValidation(line: ValidationMetrics): string | null {
    const { valid_loss_by_domain: losses } = line;
    const named = Object.entries(losses ?? {})
      .map(([domain, loss]) => [visibleName(domain), loss]);
    this.#validations.push({
      ...line,
      x: this.#progress.x,
      valid_loss: numberOf(line.valid_loss),
      ...(losses === undefined ? {} : { valid_loss_by_domain: Object.fromEntries(named) }),
    });
    return null;
  }

  /** Adds a line of flips; returns null, as nothing can be wrong with it. */
  addFlips(line: FlipMetrics): null {
    this.#flips.push({ ...line, x: this.#progress.x });
    return null;
  }

  finish(): Omit<RunFigures, "path" | "label" | "config" | "along"> | null {
    const last = this.#recent.at(-1);
    if (last === undefined) return null;
    const recent = new LoadHistory(1);
    for (const line of this.#recent) recent.add(line.step, expertCounts(line, this.#pairs));
    return {
      warm: this.#warm!,
      figures: this.#figures,
      layers: this.#layers,
      validations: this.#validations,
      flips: this.#flips,
      stages: this.#stages,
      load: this.#history.stretches(),
      finalLoad: recent.stretches()[0]!,
      last,
    };
  }
}

/** JSON has no non-finite numbers; it holds null in their place. */
function numberOf(value: number | null | undefined): number {
  return value ?? NaN;
}
