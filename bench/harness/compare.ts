/** Compares two runs. @module */

import type { BenchResults, CaseResult } from "./results.ts";
import { geometricMean } from "./samples.ts";
import { digits, markdownTable } from "./table.ts";

/** A case in two runs. */
export interface ComparedCase {
  /** The operation. */
  readonly group: string;
  /** Model, operation and shapes. */
  readonly name: string;
  /** Median of the older run in seconds. */
  readonly before: number;
  /** Median of the newer run in seconds. */
  readonly after: number;
  /** `after / before`: below 1 the newer run is faster. */
  readonly ratio: number;
  /** Whether other work disturbed either of them. */
  readonly disturbed: boolean;
}

/** What two runs have in common, and how they differ. */
export interface Comparison {
  /** Cases in both, in the newer run's order. */
  readonly cases: readonly ComparedCase[];
  /** Names of cases only in the older run. */
  readonly gone: readonly string[];
  /** Names of cases only in the newer run. */
  readonly added: readonly string[];
}

/**
 * Compares two runs case by case.
 *
 * @param before The older run.
 * @param after The newer run.
 * @returns Ratios of the medians.
 */
export function compareResults(before: BenchResults, after: BenchResults): Comparison {
  const key = ({ group, name }: CaseResult): string => `${group}: ${name}`;
  const old = new Map(before.cases.map((result) => [key(result), result]));
  const cases: ComparedCase[] = [];
  const added: string[] = [];
  for (const result of after.cases) {
    const match = old.get(key(result));
    if (match === undefined) {
      added.push(result.name);
      continue;
    }
    old.delete(key(result));
    cases.push({
      group: result.group,
      name: result.name,
      before: match.median_s,
      after: result.median_s,
      ratio: result.median_s / match.median_s,
      disturbed: (result.disturbed ?? match.disturbed) !== undefined,
    });
  }
  return { cases, gone: [...old.values()].map(({ name }) => name), added };
}

/**
 * Formats a comparison as a table; the ratio comes first, since it is what counts.
 *
 * @param before The older run.
 * @param after The newer run.
 * @returns Lines of Markdown.
 */
export function comparisonReport(before: BenchResults, after: BenchResults): string {
  const { cases, gone, added } = compareResults(before, after);
  const lines = [
    `Compared with ${before.date}, ${before.machine.name}, ${before.commit ?? "no commit"}; ` +
    "new / old medians, below 1 is faster",
  ];
  if (!isSameMachine(before, after)) {
    lines.push("The machines differ: the ratios compare machines as much as code");
  }
  if (cases.length === 0) return [...lines, "No case is in both"].join("\n");
  const rows = cases.map(({ name, ratio, before, after, disturbed }) => [
    ratio.toFixed(3) + (disturbed ? " disturbed" : ""),
    digits(before * 1e3),
    digits(after * 1e3),
    name,
  ]);
  const kept = cases.filter(({ disturbed }) => !disturbed);
  const left = cases.length - kept.length;
  if (kept.length > 0) {
    const mean = geometricMean(kept.map(({ ratio }) => ratio));
    rows.push([mean.toFixed(3), "", "", `geometric mean of ${kept.length} cases`]);
  }
  lines.push(markdownTable([
    { title: "new / old", isNumber: true },
    { title: "old ms", isNumber: true },
    { title: "new ms", isNumber: true },
    { title: "case" },
  ], rows));
  if (left > 0) lines.push(`${left} disturbed cases are not in the mean`);
  if (added.length > 0) lines.push(`${added.length} cases only in this run`);
  if (gone.length > 0) lines.push(`${gone.length} cases only in the older one`);
  return lines.join("\n");
}

function isSameMachine({ machine: a }: BenchResults, { machine: b }: BenchResults): boolean {
  return a.name === b.name && a.isa === b.isa && a.threads === b.threads;
}
