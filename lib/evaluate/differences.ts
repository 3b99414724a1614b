/**
 * Differences between two models that were measured on the same items, with intervals. What is easy
 * or hard about an item is so for both: their difference varies less than either, and its interval,
 * not the overlap of two standard errors, tells whether the models differ on such items.
 *
 * @module
 */

import { mean } from "../mean.ts";
import { type Interval, intervalOf } from "../statistics.ts";
import { standardErrorOf } from "./metrics.ts";
import type { TaskResult } from "./task_results.ts";
import type { MetricName } from "./tasks/task.ts";
import type { TaskName } from "./tasks/tasks.ts";
import { bitsOf, type DocumentLoss, type TextResult } from "./text_loss.ts";

/** How a figure differs from that of a baseline. */
export interface Difference {
  /** Number of items or documents. */
  readonly items: number;
  /** The figure minus the baseline's. */
  readonly value: number;
  /** Its standard error; null for a single item. */
  readonly standardError: number | null;
  /**
   * Its confidence interval over items, by Student's t; null for a single item, and where all items
   * differ by as much: how much others would is then unknown.
   */
  readonly interval: Interval | null;
}

/** How the figures of a model differ from those of a baseline. */
export interface Differences {
  /** Bits per byte by domain; empty if no text was measured. */
  readonly domains: ReadonlyMap<string, Difference>;
  /** Bits per byte of all documents; null if no text was measured. */
  readonly text: Difference | null;
  /** Metrics by task. That of `perplexity` is the difference of its logarithm. */
  readonly tasks: ReadonlyMap<TaskName, ReadonlyMap<MetricName, Difference>>;
  /** The mean of the tasks' `acc`; null if there is no task. */
  readonly accuracy: Difference | null;
}

/** What was measured of a model. */
export interface Measured {
  /** Its tasks. */
  readonly tasks: readonly TaskResult[];
  /** Its text; null if none was measured. */
  readonly text: TextResult | null;
}

/**
 * Compares two models item by item.
 *
 * @param measured What was measured of a model.
 * @param baseline What was measured of the other, on the same items and documents.
 * @returns The differences.
 * @throws {RangeError} If the tasks, domains, items or documents are not the same or as many.
 */
export function differencesOf(measured: Measured, baseline: Measured): Differences {
  requireSame("tasks", taskNames(measured), taskNames(baseline));
  requireSame("domains", domainNames(measured), domainNames(baseline));
  const domains = measured.text === null ? [] : [...measured.text.documents].map((
    [name, documents],
  ): [string, Pairs] => [name, pairsOf(name, documents, baseline.text?.documents.get(name))]);
  const tasks = measured.tasks.map((task): [TaskName, Map<MetricName, Difference>] => {
    const { name } = task.task;
    const other = baseline.tasks.find((each) => each.task.name === name);
    return [name, taskDifferences(pairsOf(name, task.results, other?.results), task)];
  });
  return {
    domains: new Map(domains.map(([name, pairs]) => [name, bitsDifference(pairs)])),
    text: domains.length === 0 ? null : bitsDifference(domains.flatMap(([, pairs]) => pairs)),
    tasks: new Map(tasks),
    accuracy: meanDifference(tasks.map(([, metrics]) => metrics.get("acc")!)),
  };
}

function taskNames({ tasks }: Measured): string[] {
  return tasks.map(({ task }) => task.name);
}

function domainNames({ text }: Measured): string[] {
  return [...text?.documents.keys() ?? []];
}

function requireSame(what: string, names: readonly string[], others: readonly string[]): void {
  const [own, other] = [names, others].map((each) => each.toSorted().join(", "));
  if (own === other) return;
  throw new RangeError(
    `Cannot compare two models: the ${what} of one are ${own || "none"}, those of the other ` +
      `${other || "none"}; measure both on the same`,
  );
}

/** A document's loss under the model, and under the baseline. */
type Pairs = readonly (readonly [DocumentLoss, DocumentLoss])[];

function pairsOf<T>(
  name: string,
  values: readonly T[],
  others: readonly T[] = [],
): (readonly [T, T])[] {
  if (values.length !== others.length) {
    throw new RangeError(
      `Cannot compare two models on ${name}: one was measured on ${values.length} items, the ` +
        `other on ${others.length}; measure both on the same`,
    );
  }
  return values.map((value, i) => [value, others[i]!]);
}

/** The difference of two ratios with the same denominators is the ratio of the differences. */
function bitsDifference(pairs: Pairs): Difference {
  const differences = pairs.map(([{ nats, bytes }, other]) => ({ nats: nats - other.nats, bytes }));
  const { value, standardError } = bitsOf(differences);
  return withInterval(pairs.length, value, standardError, pairs.length - 1);
}

function taskDifferences(
  pairs: readonly (readonly [TaskResult["results"][number], TaskResult["results"][number]])[],
  { figures }: TaskResult,
): Map<MetricName, Difference> {
  return new Map([...figures.keys()].map((metric) => {
    const values = pairs.map(([one, other]) =>
      one.metrics.get(metric)! - other.metrics.get(metric)!
    );
    // Perplexity is exp of the negative mean of these log-likelihoods.
    const signed = metric === "perplexity" ? values.map((value) => -value) : values;
    const items = signed.length;
    return [metric, withInterval(items, mean(signed), standardErrorOf(signed), items - 1)];
  }));
}

/**
 * Tasks are independent samples, so the squares of their errors add up; the degrees of freedom are
 * Welch's and Satterthwaite's, since each task has a variance of its own.
 */
function meanDifference(differences: readonly Difference[]): Difference | null {
  const count = differences.length;
  if (count === 0) return null;
  const sum = (of: (difference: Difference) => number): number =>
    differences.reduce((total, difference) => total + of(difference), 0);
  const items = sum(({ items }) => items);
  const value = mean(differences.map(({ value }) => value));
  if (differences.some(({ standardError }) => standardError === null)) {
    return withInterval(items, value, null, 0);
  }
  const variance = sum(({ standardError }) => standardError! ** 2);
  const freedom = variance ** 2 /
    sum(({ standardError, items }) => standardError! ** 4 / (items - 1));
  return withInterval(items, value, Math.sqrt(variance) / count, freedom);
}

function withInterval(
  items: number,
  value: number,
  standardError: number | null,
  freedom: number,
): Difference {
  if (standardError === null || standardError === 0) {
    return { items, value, standardError, interval: null };
  }
  return { items, value, standardError, interval: intervalOf(value, standardError, freedom) };
}
