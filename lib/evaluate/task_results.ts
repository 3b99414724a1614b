/** Scores tasks: items to requests, requests to scores, scores to figures. @module */

import { DataError } from "../data/errors.ts";
import { requireNumbers } from "./require_numbers.ts";
import { aggregate, type Figure, itemMetric } from "./metrics.ts";
import type { TaskItems } from "./read_items.ts";
import { type EncodedRequest, type EncodeOptions, encodeRequest } from "./request.ts";
import { type Score, type Scorer, tokensOf } from "./scorer.ts";
import type { MetricName } from "./tasks/task.ts";
import { TASKS } from "./tasks/tasks.ts";

/** A task whose items are encoded. */
export interface PreparedTask extends TaskItems {
  /** The requests of each item, one per continuation. */
  readonly requests: readonly (readonly EncodedRequest[])[];
  /** Tokens in all of them. */
  readonly tokens: number;
  /** Items with a request that lost tokens of its context. */
  readonly cut: number;
}

/** What was measured of an item. */
export interface ItemResult {
  /** The scores of its continuations. */
  readonly scores: readonly Score[];
  /** Its part in each metric. */
  readonly metrics: ReadonlyMap<MetricName, number>;
}

/** What was measured of a task. */
export interface TaskResult {
  /** The task. */
  readonly task: PreparedTask;
  /** Its figures. */
  readonly figures: ReadonlyMap<MetricName, Figure>;
  /** The items, in the order of the file. */
  readonly results: readonly ItemResult[];
}

/**
 * Encodes the items of a task.
 *
 * @param task The items.
 * @param options The tokenizer and the lengths.
 * @returns The task, ready to be scored.
 * @throws {DataError} If a continuation has no token, or more than the model may read; names the
 * item.
 */
export function prepareTask(task: TaskItems, options: EncodeOptions): PreparedTask {
  const requests = task.items.map(({ context, continuations }, i) => {
    try {
      return continuations.map((continuation) => encodeRequest(context, continuation, options));
    } catch (cause) {
      if (!(cause instanceof DataError)) throw cause;
      throw new DataError(`Cannot use item ${i + 1} of ${task.name}: ${cause.message}`, { cause });
    }
  });
  return {
    ...task,
    requests,
    tokens: requests.reduce((sum, each) => sum + tokensOf(each), 0),
    cut: requests.filter((each) => each.some(({ isCut }) => isCut)).length,
  };
}

/**
 * Scores a task.
 *
 * @param task The task.
 * @param scorer Scores its requests.
 * @param onTokens Called after each batch with the number of tokens that the model read.
 * @returns The figures, and what they are made of.
 * @throws {LogitsError} If a score is not a number; names the item.
 */
export function scoreTask(
  task: PreparedTask,
  scorer: Scorer,
  onTokens?: (tokens: number) => void,
): TaskResult {
  const { metrics } = TASKS[task.name];
  const results = scorer.score(task.requests, onTokens).map((scores, i): ItemResult => {
    requireNumbers(scores, `item ${i + 1} of ${task.name}`);
    const item = task.items[i]!;
    return {
      scores,
      metrics: new Map(metrics.map((metric) => [metric, itemMetric(metric, item, scores)])),
    };
  });
  const figures = new Map(metrics.map((metric): [MetricName, Figure] => [
    metric,
    aggregate(metric, results.map((result) => result.metrics.get(metric)!)),
  ]));
  return { task, figures, results };
}
