/** Figures of a task from the scores of its items, with standard errors. @module */

import { mean } from "../mean.ts";
import { bootstrapError } from "./bootstrap.ts";
import type { Score } from "./scorer.ts";
import type { Item, MetricName } from "./tasks/task.ts";

/** A figure and its uncertainty. */
export interface Figure {
  /** The value. */
  readonly value: number;
  /** Its standard error; null if there is only one item. */
  readonly standardError: number | null;
}

/**
 * Measures an item.
 *
 * @param metric The figure it counts towards.
 * @param item The item.
 * @param scores The scores of its continuations.
 * @returns 1 if the answer is right and 0 if not; for perplexity the log-likelihood.
 */
export function itemMetric(
  metric: MetricName,
  { continuations, gold }: Item,
  scores: readonly Score[],
): number {
  if (metric === "perplexity") return scores[gold]!.logLikelihood;
  // A continuation without rivals is right if the model would have written it.
  if (continuations.length === 1) return Number(scores[gold]!.isGreedy);
  const values = scores.map(({ logLikelihood }, i) =>
    metric === "acc" ? logLikelihood : logLikelihood / choiceLength(continuations[i]!)
  );
  return Number(firstLargest(values) === gold);
}

/**
 * Aggregates the values of items.
 *
 * @param metric The figure.
 * @param values What {@linkcode itemMetric} returned for each item; at least one.
 * @returns The mean, or exp of the negative mean for perplexity, whose standard error is
 * bootstrapped.
 */
export function aggregate(metric: MetricName, values: readonly number[]): Figure {
  if (metric === "perplexity") {
    const perplexity = (sample: number): number => Math.exp(-sample);
    const standardError = values.length < 2 ? null : bootstrapError(values, perplexity);
    return { value: perplexity(mean(values)), standardError };
  }
  return { value: mean(values), standardError: standardErrorOf(values) };
}

/**
 * Estimates the standard error of a mean: the sample's deviation, with n - 1, divided by √n.
 *
 * @param values The sample.
 * @returns The error; null for fewer than two values.
 */
export function standardErrorOf(values: readonly number[]): number | null {
  const n = values.length;
  if (n < 2) return null;
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return Math.sqrt(squares / (n - 1) / n);
}

/** Characters of a choice, as Python counts them: code points, without the space before it. */
function choiceLength(continuation: string): number {
  return Array.from(continuation).length - 1;
}

function firstLargest(values: readonly number[]): number {
  return values.reduce((best, value, i) => value > values[best]! ? i : best, 0);
}
