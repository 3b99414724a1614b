/** The tables of the comparison. @module */

import { type Estimate, estimate, pairedDifference } from "../../lib/statistics.ts";
import type { RunFigures } from "./runs.ts";

/** The runs of a seed by name. */
export interface SeedRuns {
  readonly seed: number;
  readonly runs: ReadonlyMap<string, RunFigures>;
}

/** Differences of interest: the first less the second. */
function pairsOf(names: readonly string[]): [string, string][] {
  return ["relu", "topk"].flatMap((router): [string, string][] => {
    const upcycled = `${router}, upcycled`;
    const others = ["equal additional compute", "equal total compute"];
    const ways = names.filter((name) => name.startsWith(`${upcycled} `));
    return [
      ...others.map((other): [string, string] => [upcycled, `${router}, ${other}`]),
      [upcycled, "dense, continued"],
      ...ways.map((way): [string, string] => [way, upcycled]),
    ];
  });
}

/** Steps at which the course of a run is shown. */
const SHOWN: readonly number[] = [1, 10, 25, 50, 75, 100, 150, 200];

/**
 * Writes the tables in Markdown.
 *
 * @param all The runs of each seed.
 * @returns Losses, paired differences, and how TopK routing becomes ReLU routing.
 */
export function report(all: readonly SeedRuns[]): string {
  const names = [...all[0]!.runs.keys()];
  return [
    table(
      ["run", "steps", "validation loss", "executed FLOPs"],
      names.map((name) => rowOf(name, all)),
    ),
    table(["difference", "of losses"], pairsOf(names).map((pair) => differenceRow(pair, all))),
    courseTable(all),
  ].join("\n\n");
}

function rowOf(name: string, all: readonly SeedRuns[]): string[] {
  const figures = all.map(({ runs }) => runs.get(name)!);
  const loss = estimate(figures.map((each) => each.loss));
  const error = loss.standard_error === null ? "" : ` ± ${loss.standard_error.toFixed(4)}`;
  return [
    name,
    `${Math.round(estimate(figures.map((each) => each.steps)).mean)}`,
    `${loss.mean.toFixed(4)}${error}`,
    `${estimate(figures.map((each) => each.gflops)).mean.toFixed(0)}G`,
  ];
}

function differenceRow(
  [first, second]: readonly [string, string],
  all: readonly SeedRuns[],
): string[] {
  const bySeed = (name: string): Map<number, number> =>
    new Map(all.map(({ seed, runs }) => [seed, runs.get(name)!.loss]));
  return [`${first} − ${second}`, signed(pairedDifference(bySeed(first), bySeed(second))!)];
}

function signed({ mean, interval }: Estimate): string {
  const number = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`;
  return number(mean) +
    (interval === null ? "" : ` [${number(interval[0])}, ${number(interval[1])}]`);
}

/** Loss and sparsity as TopK routing becomes ReLU routing, beside ReLU routing from a dense model. */
function courseTable(all: readonly SeedRuns[]): string {
  const mean = (name: string, step: number, figure: "loss" | "sparsity"): string =>
    estimate(all.map(({ runs }) => runs.get(name)!.course[step - 1]![figure])).mean.toFixed(3);
  const count = Math.min(...all.map(({ runs }) => runs.get("topk to relu")!.steps));
  const names = [...all[0]!.runs.keys()].filter((name) => name.startsWith("topk to relu"))
    .concat("relu, upcycled", "relu, equal additional compute");
  return table(
    ["step", ...names.flatMap((name) => [`${name}: loss`, "sparsity"])],
    SHOWN.filter((step) => step <= count).map((step) => [
      `${step}`,
      ...names.flatMap((name) => [mean(name, step, "loss"), mean(name, step, "sparsity")]),
    ]),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
