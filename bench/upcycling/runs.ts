/** Trains the runs of the comparison, each once, and reads what they measured. @module */

import { fileURLToPath } from "node:url";
import { exists } from "../../lib/files.ts";
import { METRICS } from "../../lib/run/find_run.ts";
import { readMetrics } from "../../lib/run/metrics.ts";
import {
  isFlips,
  isValidation,
  type MetricsLine,
  type StepMetrics,
} from "../../lib/run/metrics_line.ts";

const TRAIN = fileURLToPath(new URL("../../cli/train.ts", import.meta.url));

/** What a run measured. */
export interface RunFigures {
  readonly steps: number;
  /** Executed GFLOPs of all its steps. */
  readonly gflops: number;
  /** Executed GFLOPs of its last step. */
  readonly lastGflops: number;
  /** Validation loss after the last step, in nats per token. */
  readonly loss: number;
  /** Validation loss by step. */
  readonly losses: ReadonlyMap<number, number>;
  /** Loss and sparsity of each step. */
  readonly course: readonly { readonly loss: number; readonly sparsity: number }[];
}

/**
 * Trains a run, or reads what an earlier command trained.
 *
 * @param out Its directory.
 * @param steps Its steps.
 * @param flags The other flags of `train`.
 * @returns Its figures.
 * @throws {Error} If training fails, which then has said why.
 */
export async function runOnce(
  out: string,
  steps: number,
  flags: readonly string[],
): Promise<RunFigures> {
  const before = exists(`${out}/${METRICS}`) ? figuresOf(out) : null;
  if (before?.steps === steps) return before;
  if (exists(out)) Deno.removeSync(out, { recursive: true });
  console.log(`${out}: ${steps} steps`);
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", TRAIN, "--steps", `${steps}`, "--out", out, ...flags],
    stdin: "null",
    stdout: "null",
  }).spawn().status;
  if (!success) throw new Error(`${out} failed`);
  return figuresOf(out);
}

function figuresOf(out: string): RunFigures {
  const lines = readMetrics(`${out}/${METRICS}`);
  const steps = lines.filter(isStep);
  const losses = new Map(
    lines.filter(isValidation).map(({ step, valid_loss }) => [step, valid_loss]),
  );
  // The metrics have a rate.
  const work = steps.map(({ gflops_executed, ms }) => gflops_executed * ms / 1000);
  return {
    steps: steps.length,
    gflops: work.reduce((sum, gflops) => sum + gflops, 0),
    lastGflops: work.at(-1) ?? NaN,
    loss: losses.get(steps.length) ?? NaN,
    losses,
    course: steps.map(({ loss, sparsity }) => ({ loss, sparsity })),
  };
}

function isStep(line: MetricsLine): line is StepMetrics {
  return !isValidation(line) && !isFlips(line);
}
