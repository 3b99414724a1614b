/** Finished runs for tests of a comparison. @module */

import type { RunResult } from "../../lib/compare/run_result.ts";
import type { RunOutcome } from "../../lib/compare/summary.ts";

/** A result whose figures follow from its loss. */
export function resultOf(loss: number, over: Partial<RunResult> = {}): RunResult {
  return {
    format: 2,
    steps: 20,
    valid_loss: loss,
    valid_bits_per_byte: loss / Math.LN2,
    valid_loss_by_domain: {},
    valid_loss_later: null,
    validations: [
      { step: 10, flops: 1e9, loss: 2 * loss },
      { step: 20, flops: 2e9, loss },
    ],
    flops: 2e9,
    seconds: 4,
    tokens_per_second: 1000,
    parameters: { total: 100, active: 40 },
    routing: {
      sparsity: 0.75,
      sparsity_deviation: 0.01,
      sparsity_curve: [[10, 0.5], [20, 0.75]],
      imbalance: 1.5,
      worst_imbalance: 2,
      dead_experts: 1,
      settled: 8,
      load: [[0.75, 0.25], [0.5, 0.5]],
    },
    ...over,
  };
}

/** A run that is finished. */
export function finished(row: string, seed: number, result: RunResult): RunOutcome {
  return { row, seed, folder: `${row}-s${seed}`, result, failure: null };
}
