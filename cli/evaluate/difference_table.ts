/**
 * How several models differ, as a table.
 *
 * @module
 */

import type { Difference, Differences } from "../../lib/evaluate/differences.ts";
import type { ComparedResult } from "../../lib/evaluate/results.ts";
import type { MetricName } from "../../lib/evaluate/tasks/task.ts";
import { visibleName } from "../../lib/visible.ts";
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
 * Formats how a run differs from the first.
 *
 * @param baseline The first run's name.
 * @param compared How the run differs from it.
 * @returns The lines.
 */
export function differenceLines(baseline: string, { differences }: ComparedResult): string[] {
  return [
    `Difference from ${baseline}, on the same items`,
    "",
    ...aligned([HEAD, ...rowsOf(differences)], [0, 2]),
  ];
}

/** What follows behind all differences. */
export const HOW_TO_READ_DIFFERENCES =
  `Intervals are 95 % over items. One that excludes 0 (× 1 for perplexity) says that the two models
differ, not that their routers do: that takes several seeds (deno task compare). Of twenty rows
without a difference, one excludes it by chance.`;

const HEAD = ["", "items", "metric", "difference", "95 % interval"];

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
  const difference = { value, standardError, interval };
  return [name, items.toLocaleString("en"), metric, text(value), rangeOf(difference, text)];
}

function rangeOf(
  { value, standardError, interval }: Omit<Difference, "items">,
  text: Form["text"],
): string {
  if (interval !== null) return `[${interval.map(text).join(", ")}]`;
  if (standardError === null) return "–";
  return value === 0 ? "no item differs" : "all differ alike";
}

/** With a sign of the width of a digit, and none for what rounds to zero. */
function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? "−" : "+"}${text}`;
}
