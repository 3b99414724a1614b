/**
 * Compares the items that two evaluations logged.
 *
 * @module
 */

/** The log-likelihoods and metrics of an item. */
export interface LoggedItem {
  /** Contexts and continuations. */
  readonly arguments: readonly (readonly [string, string])[];
  /** Log-likelihoods, and whether each continuation is the most likely. */
  readonly responses: readonly (readonly [number, boolean])[];
  /** Its part in each metric. */
  readonly metrics: ReadonlyMap<string, number>;
}

/** How two evaluations of a task compare. */
export interface TaskComparison {
  /** Items compared. */
  readonly items: number;
  /** Log-likelihoods compared. */
  readonly requests: number;
  /** Items whose texts differ. */
  readonly texts: number;
  /** Greatest difference of a log-likelihood. */
  readonly difference: number;
  /** Items that only one of the two counts as right, although the margin is beyond the limit. */
  readonly wrong: number;
  /** Items that only one of the two counts as right, by a margin within the limit. */
  readonly close: number;
  /** Means of the metrics, here and there. */
  readonly means: ReadonlyMap<string, readonly [number, number]>;
  /** Greatest relative difference of a standard error that has a formula. */
  readonly errors: number;
  /** That of the perplexity, which each bootstraps with its own random numbers; 0 without one. */
  readonly bootstrapped: number;
}

/** A task's entry in the results. */
export type TaskFigures = Readonly<Record<string, unknown>>;

const METRICS = ["acc", "acc_norm", "perplexity"];

/**
 * Reads the items of a file of samples, in the form of the harness or of `evaluate`.
 *
 * @param path The file.
 * @returns The items by their number.
 */
export function loggedItems(path: string): Map<number, LoggedItem> {
  const lines = Deno.readTextFileSync(path).split("\n").filter((line) => line !== "");
  return new Map(lines.map((line) => {
    const row = JSON.parse(line);
    const values = (list: object): unknown[] => Object.values(list);
    return [row.doc_id as number, {
      arguments: values(row.arguments).map((pair) => values(pair as object) as [string, string]),
      responses: (row.filtered_resps as [unknown, unknown][]).map(([value, greedy]) =>
        [Number(value), String(greedy).toLowerCase() === "true"] as const
      ),
      metrics: new Map(METRICS.filter((name) => name in row).map((name) => [name, row[name]])),
    }];
  }));
}

/**
 * Reads the figures of a file of results.
 *
 * @param path The file.
 * @returns The figures by task.
 */
export function taskFigures(path: string): Readonly<Record<string, TaskFigures>> {
  return JSON.parse(Deno.readTextFileSync(path)).results;
}

/**
 * Compares the standard errors of a task.
 *
 * @param ours By `evaluate`.
 * @param theirs By the harness.
 * @returns Greatest relative differences.
 */
export function compareErrors(
  ours: TaskFigures,
  theirs: TaskFigures,
): Pick<TaskComparison, "errors" | "bootstrapped"> {
  const difference = (name: string): number => {
    const [own, other] = [ours, theirs].map((figures) => figures[`${name}_stderr,none`]);
    if (own === undefined || own === other) return 0;
    return Math.abs(Number(own) - Number(other)) / Number(other);
  };
  return {
    errors: Math.max(difference("acc"), difference("acc_norm")),
    bootstrapped: difference("perplexity"),
  };
}

/**
 * Compares the items of a task.
 *
 * @param ours By `evaluate`.
 * @param theirs By the harness.
 * @param limit Greatest difference of a log-likelihood that may decide between two answers.
 * @returns The comparison.
 */
export function compareItems(
  ours: ReadonlyMap<number, LoggedItem>,
  theirs: ReadonlyMap<number, LoggedItem>,
  limit: number,
): Omit<TaskComparison, "errors" | "bootstrapped"> {
  if (ours.size !== theirs.size) throw new Error(`${ours.size} items here, ${theirs.size} there`);
  const counts = { requests: 0, texts: 0, difference: 0, wrong: 0, close: 0 };
  for (const [id, own] of ours) {
    const other = theirs.get(id);
    if (other === undefined) throw new Error(`the harness has no item ${id}`);
    counts.requests += own.responses.length;
    counts.texts += Number(JSON.stringify(own.arguments) !== JSON.stringify(other.arguments));
    for (const [i, [value]] of own.responses.entries()) {
      const difference = Math.abs(value - other.responses[i]![0]);
      // NaN must not pass as small.
      if (!(difference <= counts.difference)) counts.difference = difference;
    }
    const differs = ["acc", "acc_norm"].some((name) =>
      own.metrics.get(name) !== other.metrics.get(name)
    );
    if (differs) counts[isClose(own, limit) ? "close" : "wrong"]++;
  }
  const names = METRICS.filter((name) =>
    [...ours.values()].some(({ metrics }) => metrics.has(name))
  );
  const meanOf = (items: Iterable<LoggedItem>, name: string): number => {
    const values = [...items].map(({ metrics }) => metrics.get(name)!);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return name === "perplexity" ? Math.exp(-mean) : mean;
  };
  const means = new Map(names.map((name) => [
    name,
    [meanOf(ours.values(), name), meanOf(theirs.values(), name)] as const,
  ]));
  return { items: ours.size, ...counts, means };
}

/** Whether the two best answers, by either rule, are too close to tell apart. */
function isClose({ arguments: pairs, responses }: LoggedItem, limit: number): boolean {
  // A single continuation is right if every token is the likeliest: how close is not logged.
  if (responses.length === 1) return false;
  const lengths = pairs.map(([, continuation]) => Array.from(continuation).length - 1);
  const margin = (values: readonly number[]): number => {
    const [first = 0, second = 0] = [...values].sort((a, b) => b - a);
    return first - second;
  };
  return margin(responses.map(([value]) => value)) <= 2 * limit ||
    margin(responses.map(([value], i) => value / lengths[i]!)) <= 2 * limit;
}

/**
 * Formats comparisons as a Markdown table.
 *
 * @param tasks The comparisons by task.
 * @returns The lines.
 */
export function comparisonTable(tasks: ReadonlyMap<string, TaskComparison>): string[] {
  const shown = ({ means }: TaskComparison, name: string): string => {
    const pair = means.get(name);
    if (pair === undefined) return "–";
    const digits = name === "perplexity" ? 1 : 4;
    return pair.map((value) => value.toFixed(digits)).join(" / ");
  };
  return [
    "| task | items | log-likelihoods | greatest difference | acc | acc_norm | perplexity | other answers | errors differ by |",
    "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ...[...tasks].map(([name, each]) =>
      `| ${
        [
          name,
          each.items,
          each.requests,
          each.difference.toExponential(1),
          shown(each, "acc"),
          shown(each, "acc_norm"),
          shown(each, "perplexity"),
          each.wrong + each.close,
          Math.max(each.errors, each.bootstrapped).toExponential(0),
        ].join(" | ")
      } |`
    ),
  ];
}
