/**
 * A line of a run's figures: what it holds, and what is none.
 *
 * @module
 */

import { requireNumber, requireOneOf, shown } from "../arguments.ts";
import { type Stage, STAGES } from "../checkpoint/stage.ts";

/** The figures of one optimizer step: a line of `metrics.jsonl`. */
export interface StepMetrics {
  /** The step, counted from 1. */
  readonly step: number;
  /** Language-model loss, nats per token, without the regularisation. */
  readonly loss: number;
  /** Learning rate of the step. */
  readonly lr: number;
  /** Norm of the whole gradient before clipping. */
  readonly grad_norm: number;
  /** S of equation 8: share of closed pairs of token and expert, all layers. */
  readonly sparsity: number;
  /** The same of each layer. */
  readonly sparsity_per_layer: readonly number[];
  /** λ that the step used; 0 where the router has none. */
  readonly lambda: number;
  /** L_reg of equation 9 or 10, without λ; TopK: its balance loss without coefficient. */
  readonly l1_reg: number;
  /** Of each layer, the share of its routed rows that each expert got. */
  readonly expert_load: readonly (readonly number[])[];
  /** Pairs of a layer and a token that no expert of the layer took. */
  readonly tokens_without_expert: number;
  /** Experts of all layers that got no token. */
  readonly idle_experts: number;
  /** Layers in which at least nine of ten tokens have no expert. */
  readonly closed_layers: number;
  /** The stage after the step. */
  readonly stage: Stage;
  /** Tokens seen since the run's start. */
  readonly tokens: number;
  /** Tokens of the step over its time. */
  readonly tokens_per_second: number;
  /** FLOPs of the step by the formula, over its time, in GFLOPS. */
  readonly gflops: number;
  /** FLOPs that the step really ran, over its time, in GFLOPS. */
  readonly gflops_executed: number;
  /** Time of the step in milliseconds. */
  readonly ms: number;
  /** Most bytes of device memory in use at once during the step. */
  readonly memory_bytes: number;
}

/** The figures of a validation: a line of `metrics.jsonl`. */
export interface ValidationMetrics {
  /** Steps taken before. */
  readonly step: number;
  /** Loss on the held-out documents, nats per token. */
  readonly valid_loss: number;
  /** The same in bits per byte of text; end-of-document tokens have no byte. */
  readonly valid_bits_per_byte: number;
  /** The loss of each domain in nats per token, where there are several. */
  readonly valid_loss_by_domain?: Readonly<Record<string, number>>;
  /** The same in bits per byte of text. */
  readonly valid_bits_per_byte_by_domain?: Readonly<Record<string, number>>;
}

/** A line of `metrics.jsonl`. */
export type MetricsLine = StepMetrics | ValidationMetrics;

/**
 * Tells the two kinds of lines apart.
 *
 * @param line A line of `metrics.jsonl`.
 * @returns Whether it is a validation's.
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

const VALIDATION: readonly (keyof ValidationMetrics)[] = ["valid_loss", "valid_bits_per_byte"];

/** A figure of a step that is a single number. */
export type StepFigure = Exclude<
  {
    [Name in keyof StepMetrics]: StepMetrics[Name] extends number ? Name : never;
  }[keyof StepMetrics],
  "step"
>;

/** All of them; a record, since one left out of it does not compile. */
const STEP_NUMBERS: Readonly<Record<StepFigure, true>> = {
  ...{ loss: true, lr: true, grad_norm: true, sparsity: true, lambda: true, l1_reg: true },
  ...{ tokens_without_expert: true, idle_experts: true, closed_layers: true },
  ...{ tokens: true, tokens_per_second: true, gflops: true, gflops_executed: true },
  ...{ ms: true, memory_bytes: true },
};

/** The figures of a step that are single numbers. */
export const STEP_FIGURES: readonly StepFigure[] = Object.keys(STEP_NUMBERS) as StepFigure[];

/** What a line may hold, besides what others wrote there. */
const FIGURES: readonly string[] = [
  ...VALIDATION,
  ...["valid_loss_by_domain", "valid_bits_per_byte_by_domain"],
  ...STEP_FIGURES,
  ...["sparsity_per_layer", "expert_load"],
];

/** Whether a value is a line, as far as it says anything that a line says. */
export function isLine(value: unknown): value is MetricsLine {
  return typeof value === "object" && value !== null &&
    isStep((value as { step?: unknown }).step) &&
    FIGURES.every((name) => isFigure((value as Record<string, unknown>)[name] ?? null));
}

function isStep(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A number, what JSON has for one that is not finite, or several by index or by name. */
function isFigure(value: unknown): boolean {
  if (typeof value === "number" || value === null) return true;
  if (Array.isArray(value)) return value.every(isFigure);
  return typeof value === "object" && Object.values(value!).every(isFigure);
}

/**
 * Refuses to write what is no line of figures, or lacks one that every step or validation has.
 *
 * @param path Where it was to be written.
 * @param line The line.
 * @throws {TypeError} If it is none; names the figure.
 */
export function requireLine(path: string, line: unknown): asserts line is MetricsLine {
  const operation = `write to ${path}`;
  if (!isLine(line)) {
    throw new TypeError(`Cannot ${operation}: line is ${shown(line)}, no figures of a step`);
  }
  const figures = line as unknown as Readonly<Record<string, unknown>>;
  for (const name of isValidation(line) ? VALIDATION : STEP_FIGURES) {
    requireNumber(operation, `line.${name}`, figures[name]);
  }
  if (isValidation(line)) return;
  requireOneOf(operation, "line.stage", line.stage, STAGES);
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
