/**
 * The lines of a metrics file, and checks of them.
 *
 * @module
 */

import { requireNumber, requireOneOf, shown } from "../arguments.ts";
import { type Stage, STAGES } from "../checkpoint/stage.ts";
import { FLOATS, type Real } from "../tensor/dtype.ts";

/** The metrics of one optimizer step: a line of `metrics.jsonl`. */
export interface StepMetrics {
  /** The step, counted from 1. */
  readonly step: number;
  /** Language-model loss in nats per token, without regularisation. */
  readonly loss: number;
  /** The loss of the tokens that are routed causally, if some are not. */
  readonly loss_causal?: number;
  /** The loss of the other tokens, whose routing sees what is to be predicted. */
  readonly loss_noncausal?: number;
  /** Learning rate of the step. */
  readonly lr: number;
  /** Global gradient norm before clipping. */
  readonly grad_norm: number;
  /** S of equation 8: the share of closed token-expert pairs over all layers. */
  readonly sparsity: number;
  /** The same for each layer. */
  readonly sparsity_per_layer: readonly number[];
  /** λ used by the step; 0 if the router has none. */
  readonly lambda: number;
  /**
   * L_reg of equation 9 or 10 without λ; for TopK and SparseMixer, the balance loss without its
   * coefficient.
   */
  readonly l1_reg: number;
  /** The z-loss without its coefficient, summed over layers, if the router has one. */
  readonly z_loss?: number;
  /**
   * For each layer, the share of its routed rows that each expert got; where experts are merged, the
   * mean weight of each.
   */
  readonly expert_load: readonly (readonly number[])[];
  /** Layer-token pairs routed to no expert. */
  readonly tokens_without_expert: number;
  /** Experts that got no token, over all layers. */
  readonly idle_experts: number;
  /** Layers in which at least nine in ten tokens have no expert. */
  readonly closed_layers: number;
  /** The stage after the step. */
  readonly stage: Stage;
  /** The type that the model computes in. */
  readonly dtype: Real;
  /** Tokens seen since the run's start. */
  readonly tokens: number;
  /** Throughput of the step. */
  readonly tokens_per_second: number;
  /** GFLOPS of the step, with FLOPs counted by the formula. */
  readonly gflops: number;
  /** GFLOPS of the step, with the FLOPs actually executed. */
  readonly gflops_executed: number;
  /** Time of the step in milliseconds. */
  readonly ms: number;
  /** Peak device memory in use during the step, in bytes. */
  readonly memory_bytes: number;
}

/** The metrics of a validation: a line of `metrics.jsonl`. */
export interface ValidationMetrics {
  /** Steps taken before. */
  readonly step: number;
  /** Loss on the held-out documents in nats per token. */
  readonly valid_loss: number;
  /** The loss of the tokens that are routed causally, if some are not. */
  readonly valid_loss_causal?: number;
  /** The loss of the other tokens, whose routing sees what is to be predicted. */
  readonly valid_loss_noncausal?: number;
  /**
   * The loss from token min(256, ⌈S/4⌉) of each row on, whatever the router: what to compare with
   * `valid_loss_causal` of Lory, since later tokens have more context. Absent for rows of a token.
   */
  readonly valid_loss_later?: number;
  /** `valid_loss` in bits per byte of text; end-of-document tokens count no bytes. */
  readonly valid_bits_per_byte: number;
  /** The loss of each domain in nats per token, if there are several. */
  readonly valid_loss_by_domain?: Readonly<Record<string, number>>;
  /** The same in bits per byte of text. */
  readonly valid_bits_per_byte_by_domain?: Readonly<Record<string, number>>;
}

/**
 * How much of the routing a step changed: a line of `metrics.jsonl`. The calibration tokens are the
 * same throughout a run.
 */
export interface FlipMetrics {
  /** The step, counted from 1. */
  readonly step: number;
  /** Equation 14: the share of token-expert pairs that the step changed, over all layers. */
  readonly flip_rate: number;
  /** E times the rate: experts that a token gained or lost per layer, on average. */
  readonly flip_count: number;
  /** The rate of each layer. */
  readonly flip_rate_per_layer: readonly number[];
}

/** A line of `metrics.jsonl`. */
export type MetricsLine = StepMetrics | ValidationMetrics | FlipMetrics;

/**
 * Tells the metrics of a validation from those of a step.
 *
 * @param line A line of `metrics.jsonl`.
 * @returns Whether it holds a validation's.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { isValidation } from "@remoe/remoe/train";
 *
 * assert(isValidation({ step: 1, valid_loss: 3, valid_bits_per_byte: 4 }));
 * ```
 */
export function isValidation(line: MetricsLine): line is ValidationMetrics {
  return typeof line === "object" && line !== null && "valid_loss" in line;
}

/**
 * Tells the flips of a step from its other metrics.
 *
 * @param line A line of `metrics.jsonl`.
 * @returns Whether it holds flips.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { isFlips } from "@remoe/remoe/train";
 *
 * const line = { step: 100, flip_rate: 0.01, flip_count: 0.08, flip_rate_per_layer: [0.01] };
 * assert(isFlips(line));
 * ```
 */
export function isFlips(line: MetricsLine): line is FlipMetrics {
  return typeof line === "object" && line !== null && "flip_rate" in line;
}

const VALIDATION: readonly (keyof ValidationMetrics)[] = ["valid_loss", "valid_bits_per_byte"];
const FLIPS: readonly (keyof FlipMetrics)[] = ["flip_rate", "flip_count"];

/** A metric of a step that is a single number. */
export type StepFigure = Exclude<
  {
    [Name in keyof StepMetrics]-?: StepMetrics[Name] extends number ? Name : never;
  }[keyof StepMetrics],
  "step"
>;

/** All of them, as a record: one left out does not compile. */
const STEP_NUMBERS: Readonly<Record<StepFigure, true>> = {
  ...{ loss: true, lr: true, grad_norm: true, sparsity: true, lambda: true, l1_reg: true },
  ...{ tokens_without_expert: true, idle_experts: true, closed_layers: true },
  ...{ tokens: true, tokens_per_second: true, gflops: true, gflops_executed: true },
  ...{ ms: true, memory_bytes: true },
};

/** The metrics of a step that are single numbers. */
export const STEP_FIGURES: readonly StepFigure[] = Object.keys(STEP_NUMBERS) as StepFigure[];

/** The metrics that are checked; a line may hold others' keys as well. */
const FIGURES: readonly string[] = [
  ...VALIDATION,
  ...["loss_causal", "loss_noncausal", "z_loss", "valid_loss_causal", "valid_loss_noncausal"],
  ...["valid_loss_later"],
  ...["valid_loss_by_domain", "valid_bits_per_byte_by_domain"],
  ...FLIPS,
  ...["flip_rate_per_layer"],
  ...STEP_FIGURES,
  ...["sparsity_per_layer", "expert_load"],
];

/** Whether a value is a line: any metric may be missing, but those present must be valid. */
export function isLine(value: unknown): value is MetricsLine {
  return typeof value === "object" && value !== null &&
    isStep((value as { step?: unknown }).step) &&
    FIGURES.every((name) => isFigure((value as Record<string, unknown>)[name] ?? null));
}

function isStep(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Whether a value is a number, null (JSON's non-finite number), or an array or record of them. */
function isFigure(value: unknown): boolean {
  if (typeof value === "number" || value === null) return true;
  if (Array.isArray(value)) return value.every(isFigure);
  return typeof value === "object" && Object.values(value!).every(isFigure);
}

/**
 * Refuses to write a value that is not a line of metrics, or lacks one that every line has.
 *
 * @param path The file it was to be written to.
 * @param line The line.
 * @throws {TypeError} If it is not; names the metric.
 */
export function requireLine(path: string, line: unknown): asserts line is MetricsLine {
  const operation = `write to ${path}`;
  if (!isLine(line)) {
    throw new TypeError(`Cannot ${operation}: line is ${shown(line)}, no figures of a step`);
  }
  const figures = line as unknown as Readonly<Record<string, unknown>>;
  for (const name of isValidation(line) ? VALIDATION : isFlips(line) ? FLIPS : STEP_FIGURES) {
    requireNumber(operation, `line.${name}`, figures[name]);
  }
  if (isValidation(line)) return;
  if (isFlips(line)) {
    return requireNumbersOf(operation, "line.flip_rate_per_layer", line.flip_rate_per_layer);
  }
  requireOneOf(operation, "line.stage", line.stage, STAGES);
  requireOneOf(operation, "line.dtype", line.dtype, FLOATS);
  requireNumbersOf(operation, "line.sparsity_per_layer", line.sparsity_per_layer);
  const { expert_load: load } = line;
  if (!Array.isArray(load)) {
    throw new TypeError(
      `Cannot ${operation}: line.expert_load is ${shown(load)}, expected shares of each layer`,
    );
  }
  for (const [layer, shares] of load.entries()) {
    requireNumbersOf(operation, `line.expert_load[${layer}]`, shares);
  }
}

function requireNumbersOf(operation: string, name: string, values: unknown): void {
  const areNumbers = Array.isArray(values) &&
    !Array.from(values).some((value) => typeof value !== "number");
  if (areNumbers) return;
  throw new TypeError(`Cannot ${operation}: ${name} is ${shown(values)}, expected numbers`);
}
