/**
 * The result of a finished run, computed from its metrics.
 *
 * @module
 */

import type { TrainConfig } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import { largest } from "../extremes.ts";
import { mean } from "../mean.ts";
import { median } from "../median.ts";
import { countParameters } from "../model/parameter_count.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { routerOf } from "../moe/router_of.ts";
import { addCounts, expertCounts, expertShares } from "../run/expert_counts.ts";
import { METRICS } from "../run/find_run.ts";
import { metricsLines } from "../run/metrics.ts";
import { isFlips, isValidation, type StepMetrics } from "../run/metrics_line.ts";

/** A validation on a curve. */
export interface ValidationPoint {
  /** Steps taken before it. */
  readonly step: number;
  /** FLOPs executed until then. */
  readonly flops: number;
  /** Loss, nats per token. */
  readonly loss: number;
}

/** The result of a run; plain JSON. */
export interface RunResult {
  /** Version of this format. */
  readonly format: 2;
  /** Steps taken. */
  readonly steps: number;
  /** Last validation loss, nats per token. */
  readonly valid_loss: number;
  /** The same in bits per byte. */
  readonly valid_bits_per_byte: number;
  /** The same by domain, nats per token, if there are several. */
  readonly valid_loss_by_domain: Readonly<Record<string, number>>;
  /** Last validation loss beyond Lory's first segment; null if an earlier version trained it. */
  readonly valid_loss_later: number | null;
  /** All validations. */
  readonly validations: readonly ValidationPoint[];
  /** FLOPs executed in all steps. */
  readonly flops: number;
  /** Seconds of all steps, without validation and checkpoints. */
  readonly seconds: number;
  /** Median over steps. */
  readonly tokens_per_second: number;
  /** All parameters, and those that a token uses. */
  readonly parameters: { readonly total: number; readonly active: number };
  /** Figures of the routing; null if the run has none. */
  readonly routing: RoutingResult | null;
}

/** Figures of a run's routing, over the second half of its steps unless they say otherwise. */
export interface RoutingResult {
  /** Mean sparsity. */
  readonly sparsity: number;
  /** Standard deviation of the sparsity over steps. */
  readonly sparsity_deviation: number;
  /** Sparsity over the run: the last step of each interval, and the mean over the interval. */
  readonly sparsity_curve: readonly (readonly [step: number, sparsity: number])[];
  /**
   * Rows of the busiest expert over those of the average one, mean over the layers that routed any;
   * null if none did.
   */
  readonly imbalance: number | null;
  /** The same for the worst layer. */
  readonly worst_imbalance: number | null;
  /** Experts of all layers without a token in the last 50 steps, or fewer in a shorter run. */
  readonly dead_experts: number;
  /** The step from which λ held the sparsity; null: not reached, or the router has no λ. */
  readonly settled: number | null;
  /** Share of a layer's routed rows by layer and expert; 0 in a layer that routed none. */
  readonly load: readonly (readonly number[])[];
}

/** Steps without a token after which an expert counts as dead. */
const DEAD_STEPS = 50;
/** Points of the sparsity curve. */
const CURVE_POINTS = 200;

/**
 * Reads the metrics of a finished run.
 *
 * @param path The run directory.
 * @param config Its configuration.
 * @returns Its result.
 * @throws {ConfigError} If the metrics lack a step, or the validation of the last one.
 * @throws {FileError} If the metrics cannot be read.
 * @throws {SyntaxError} If a line of them is damaged.
 */
export function readRunResult(path: string, config: TrainConfig): RunResult {
  const file = `${path}/${METRICS}`;
  const reader = new ResultReader(config);
  for (const { line } of metricsLines(file)) {
    if (isValidation(line)) {
      reader.validations.push({ step: line.step, flops: reader.flops, loss: line.valid_loss });
      reader.last = line;
    } else if (!isFlips(line)) {
      reader.requireNext(line.step, file);
      reader.addStep(line);
    }
  }
  return reader.finish(file);
}

/**
 * Returns the FLOPs that a step executed. Its line holds the rate; rounding undoes the division,
 * since the count is an integer.
 *
 * @param line The step's figures.
 * @returns FLOPs.
 */
export function flopsOfStep({ gflops_executed, ms }: StepMetrics): number {
  return Math.round(gflops_executed * 1e6 * ms);
}

class ResultReader {
  readonly validations: ValidationPoint[] = [];
  last: {
    readonly step: number;
    readonly valid_loss: number;
    readonly valid_bits_per_byte: number;
    readonly valid_loss_by_domain?: Readonly<Record<string, number>>;
    readonly valid_loss_causal?: number;
    readonly valid_loss_later?: number;
  } | null = null;
  flops = 0;
  #milliseconds = 0;
  #step = 0;
  #settled: number | null = null;
  readonly #speeds: number[] = [];
  readonly #sparsities: number[] = [];
  /** Rows per layer and expert over the second half. */
  readonly #counts: number[][] = [];
  /** The same of each of the last steps. */
  readonly #recent: number[][][] = [];
  readonly #pairs: number;

  constructor(readonly config: TrainConfig) {
    const { data, moe } = config;
    this.#pairs = data.batch * data.sequence * routedSizes(moe).experts;
  }

  /** Throws unless a step follows the last one: FLOPs are added up, and steps are averaged. */
  requireNext(step: number, file: string): void {
    if (step === this.#step + 1) return;
    throw new ConfigError(
      `Cannot compare: ${file} has step ${step} after step ${this.#step}, expected ` +
        `${this.#step + 1}; remove the run's folder to train it again`,
    );
  }

  addStep(line: StepMetrics): void {
    this.#step = line.step;
    this.flops += flopsOfStep(line);
    this.#milliseconds += line.ms;
    this.#speeds.push(line.tokens_per_second);
    this.#sparsities.push(line.sparsity);
    if (line.stage === "sparse") this.#settled ??= line.step;
    const counts = expertCounts(line, this.#pairs);
    if (line.step > this.config.steps / 2) addCounts(this.#counts, counts);
    this.#recent.push(counts);
    if (this.#recent.length > DEAD_STEPS) this.#recent.shift();
  }

  finish(file: string): RunResult {
    const { config, last } = this;
    if (this.#step !== config.steps || last?.step !== config.steps) {
      throw new ConfigError(
        `Cannot compare: ${file} ends at step ${this.#step} with a validation at ` +
          `${last?.step ?? "none"}, expected both at step ${config.steps}`,
      );
    }
    const { total, active } = countParameters(config.model, config.moe);
    return {
      format: 2,
      steps: this.#step,
      valid_loss: last.valid_loss,
      valid_bits_per_byte: last.valid_bits_per_byte,
      valid_loss_by_domain: last.valid_loss_by_domain ?? {},
      valid_loss_later: last.valid_loss_later ?? last.valid_loss_causal ?? null,
      validations: this.validations,
      flops: this.flops,
      seconds: this.#milliseconds / 1000,
      tokens_per_second: median(this.#speeds),
      parameters: { total, active },
      routing: this.#routing(),
    };
  }

  #routing(): RoutingResult | null {
    const { moe } = this.config;
    const router = routerOf(moe);
    if (!router.routed) return null;
    const late = this.#sparsities.slice(Math.floor(this.config.steps / 2));
    const sparsity = mean(late);
    const load = expertShares(this.#counts);
    const ratios = load.map((shares) => largest(shares) * shares.length).filter((ratio) =>
      ratio > 0
    );
    const recent: number[][] = [];
    for (const counts of this.#recent) addCounts(recent, counts);
    return {
      sparsity,
      sparsity_deviation: Math.sqrt(mean(late.map((value) => (value - sparsity) ** 2))),
      sparsity_curve: curve(this.#sparsities),
      imbalance: ratios.length === 0 ? null : mean(ratios),
      worst_imbalance: ratios.length === 0 ? null : largest(ratios),
      dead_experts: recent.flat().filter((count) => count === 0).length,
      settled: router.adapts(moe) ? this.#settled : null,
      load,
    };
  }
}

/** Means over equal intervals of steps, each placed at its last step. */
function curve(values: readonly number[]): [number, number][] {
  const points = Math.min(values.length, CURVE_POINTS);
  return Array.from({ length: points }, (_, i) => {
    const from = Math.floor(i * values.length / points);
    const to = Math.floor((i + 1) * values.length / points);
    return [to, mean(values.slice(from, to))];
  });
}
