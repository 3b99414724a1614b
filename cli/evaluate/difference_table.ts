/**
 * How several models differ, as a table.
 *
 * @module
 */

import type { Difference, Differences } from "../../lib/evaluate/differences.ts";
import type { ComparedResult } from "../../lib/evaluate/results.ts";
import type { MetricName } from "../../lib/evaluate/tasks/task.ts";
import { visibleName } from "../../lib/visible.ts";
import type { EvaluatedRun } from "./evaluate_run.ts";
import { aligned } from "./table.ts";

/** How a figure is written. */
interface Form {
  /** The column's text. */
  readonly name: string;
  /** Writes a difference, or a bound of it. */
  readonly text: (value: number) => string;
}

const BITS: Form = { name: "bits per byte", text: (value) => signed(value, 4) };
const PERCENT: Form = { name: "acc", text: (value) => signed(100 * value, 2) };
const FORMS: Readonly<Record<MetricName, Form>> = {
  acc: PERCENT,
  acc_norm: { ...PERCENT, name: "acc_norm" },
  perplexity: { name: "perplexity", text: (value) => `× ${Math.exp(value).toPrecision(3)}` },
};

/**
 * Formats the differences from the first run.
 *
 * @param runs All runs, the baseline first.
 * @param comparisons How each of the others differs from it.
 * @returns The lines.
 */
export function differenceLines(
  [baseline, ...others]: readonly EvaluatedRun[],
  comparisons: readonly ComparedResult[],
): string[] {
  return [
    `Differences from ${baseline!.checkpoint} on the same items, with 95 % intervals over items`,
    ...others.flatMap(({ checkpoint }, i) => [
      "",
      checkpoint,
      "",
      ...aligned([HEAD, ...rowsOf(comparisons[i]!.differences)], [0, 2]),
    ]),
    "",
    "An interval without 0, or × 1, says that two models differ, not that their routers do: that",
    "takes several seeds (deno task compare).",
  ];
}

const HEAD = ["", "items", "metric", "difference", "interval"];

function rowsOf({ domains, text, tasks, accuracy }: Differences): string[][] {
  return [
    ...[...domains].map(([name, difference]) => row(visibleName(name), difference, BITS)),
    ...(text !== null && domains.size > 1 ? [row("all", text, BITS)] : []),
    ...[...tasks].flatMap(([name, metrics]) =>
      [...metrics].map(([metric, difference]) => row(name, difference, FORMS[metric]))
    ),
    ...(accuracy !== null && tasks.size > 1 ? [row("mean", accuracy, PERCENT)] : []),
  ];
}

function row(
  name: string,
  { items, value, standardError, interval }: Difference,
  { name: metric, text }: Form,
): string[] {
  const range = interval === null ? "–" : `[${interval.map(text).join(", ")}]`;
  return [
    name,
    items.toLocaleString("en"),
    metric,
    text(value),
    standardError === 0 ? "no item differs" : range,
  ];
}

/** With a sign of the width of a digit, and none for what rounds to zero. */
function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? "−" : "+"}${text}`;
}
