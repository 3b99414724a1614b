/**
 * The table of a comparison as text, for a terminal and in Markdown.
 *
 * @module
 */

import type { CompareResults } from "../../lib/compare/results.ts";
import type { Estimate } from "../../lib/statistics.ts";
import type { RowFigures, RowSummary } from "../../lib/compare/summary.ts";
import { visibleName } from "../../lib/visible.ts";
import { formatCount } from "../shared/format.ts";

/** Cells of a table. */
export interface TableCells {
  /** Headings. */
  readonly head: readonly string[];
  /** Rows, as wide as the head. */
  readonly rows: readonly (readonly string[])[];
}

/** A column: its heading and its cell in a row; gets all rows. */
type Column = readonly [
  string,
  (figures: RowFigures, row: RowSummary, rows: readonly RowSummary[]) => string,
];

const NONE = "–";

const COLUMNS: readonly Column[] = [
  ["steps", ({ steps }) => range(steps)],
  ["validation loss", ({ valid_loss }) => withError(valid_loss, 4)],
  ["difference to baseline", differenceCell],
  [
    "sparsity",
    ({ routing }) =>
      routing === null
        ? NONE
        : `${routing.sparsity.toFixed(4)} ± ${routing.sparsity_deviation.toFixed(4)}`,
  ],
  ["load max/mean", ({ routing }) => routing?.imbalance?.toFixed(2) ?? NONE],
  [
    "dead experts",
    ({ routing }) => routing === null ? NONE : `${Number(routing.dead_experts.toFixed(1))}`,
  ],
  ["settled at step", settledCell],
  ["tokens/s", ({ tokens_per_second }) => formatCount(tokens_per_second)],
  ["executed FLOPs", ({ flops }) => formatCount(flops.mean)],
  ["parameters", ({ parameters }) => formatCount(parameters.total)],
  ["active", ({ parameters }) => formatCount(parameters.active)],
];

/** Lory has an advantage in its first segment that generation lacks; later tokens have more context. */
const LATER: Column = [
  "loss beyond first segment",
  ({ valid_loss_later: loss }, { causal }) =>
    causal === "none" || loss === null ? NONE : withError(loss, 4),
];

/**
 * Builds the cells of the table.
 *
 * @param results The comparison.
 * @returns The cells.
 */
export function tableCells({ rows, seeds }: CompareResults): TableCells {
  const domains = new Set(
    rows.flatMap(({ figures }) => Object.keys(figures?.valid_loss_by_domain ?? {})),
  );
  const isSplit = rows.some(({ causal, figures }) => causal === "some" && figures !== null);
  const columns = [
    ...COLUMNS,
    ...(isSplit ? [LATER] : []),
    ...Array.from(domains, domainColumn),
  ];
  return {
    head: ["router", "seeds", ...columns.map(([name]) => name)],
    rows: rows.map((row) => [
      visibleName(row.label),
      row.seeds.length === seeds.length
        ? `${seeds.length}`
        : `${row.seeds.length} of ${seeds.length}`,
      ...columns.map(([, cell]) => row.figures === null ? NONE : cell(row.figures, row, rows)),
    ]),
  };
}

/**
 * Writes the table for a terminal.
 *
 * @param results The comparison.
 * @returns Lines.
 */
export function terminalTable(results: CompareResults): string {
  const { head, rows } = tableCells(results);
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const lines = all.map((row) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)
    )
      .join("  ")
  );
  return [...lines, "", ...remarks(results)].join("\n");
}

/**
 * Writes the table in Markdown.
 *
 * @param results The comparison.
 * @returns The contents of `table.md`.
 */
export function markdownTable(results: CompareResults): string {
  return markdownOf(tableCells(results), remarks(results));
}

/**
 * Writes any table in Markdown, with remarks below it.
 *
 * @param cells The table.
 * @param remarks Sentences.
 * @returns The contents of a file.
 */
export function markdownOf({ head, rows }: TableCells, remarks: readonly string[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [
    line(head),
    line(head.map((_, column) => column === 0 ? "---" : "---:")),
    ...rows.map(line),
    "",
    ...remarks.map((text) => `- ${text}`),
    "",
  ].join("\n");
}

/**
 * Explains how to read the table, how large the noise is, and what is missing.
 *
 * @param results The comparison.
 * @returns Sentences.
 */
export function remarks(results: CompareResults): string[] {
  const { rows, seeds, match, finished: [finished, runs], command, machine, notices } = results;
  return [
    `Validation loss in nats per token: mean over seeds ± standard error; difference seed by seed, ` +
    `with its 95 % confidence interval by Student's t. Sparsity and load are those of the second ` +
    `half of the steps, dead experts had no token in the last 50.`,
    ...(seeds.length === 1 ? ["One seed: there is neither standard error nor interval."] : []),
    ...(match === "compute"
      ? [
        `Equal compute: steps follow from the FLOPs that ${references(rows)} executed under the ` +
        `same seed.`,
      ]
      : []),
    ...rows.flatMap(({ label, causal }) =>
      causal === "all" ? [] : [
        `${visibleName(label)} routes ${causal === "some" ? "some tokens" : "tokens"} by what ` +
        `follows them: generation cannot match its loss there.`,
      ]
    ),
    ...(rows.some(({ causal }) => causal === "some")
      ? [
        "Beyond the first segment: from token min(256, ⌈S/4⌉) of each row of S tokens on, the same " +
        "tokens in every row of the table.",
      ]
      : []),
    ...rows.flatMap(noiseRemark),
    ...(match === "compute" ? rows.flatMap(overrunRemark(rows)) : []),
    ...(finished === runs ? [] : [`${finished} of ${runs} runs are finished.`]),
    ...rows.flatMap(({ label, failures }) =>
      failures.map(({ seed, reason }) =>
        `${visibleName(label)}, seed ${seed} failed: ${reason.split("\n")[0]}`
      )
    ),
    ...notices.map((text) => `${text}.`),
    `Command: ${command}`,
    `Machine: ${Object.entries(machine).map(([name, value]) => `${name} ${value}`).join(", ")}.`,
  ];
}

/** The rows whose FLOPs others were given. */
function references(rows: readonly RowSummary[]): string {
  const labels = new Set(rows.flatMap(({ matched }) => matched === null ? [] : [matched]));
  return [...labels].map(visibleName).join(" or ");
}

/** The difference between two fp32 builds of one algorithm: smaller ones mean nothing. */
function noiseRemark({ isa, figures, baseline }: RowSummary): string[] {
  const difference = figures?.difference ?? null;
  if (isa === null || difference === null) return [];
  return [
    `Noise floor: ${baseline} computed with ${isa} differs from itself by ` +
    `${differenceText(difference)}; a router that differs by no more is no different.`,
  ];
}

/**
 * Equal compute is only planned: reports a row whose executed FLOPs differ. A row that is not matched
 * ran the given steps, like the first of these in its cell, to which the others are matched.
 */
function overrunRemark(rows: readonly RowSummary[]): (row: RowSummary) => string[] {
  return ({ label, cell, isa, matched, figures }) => {
    const reference = rows.find((row) =>
      matched === null ? row.cell === cell && isFree(row) : row.label === matched
    );
    // The reference itself, or its repetition with another instruction set.
    if (matched === null && (reference?.label === label || isa !== null)) return [];
    if (!reference?.figures || !figures) return [];
    const off = figures.flops.mean / reference.figures.flops.mean - 1;
    if (Math.abs(off) < 0.01 || figures.flops.n !== reference.figures.flops.n) return [];
    const much = `${(100 * Math.abs(off)).toFixed(1)} % ${off > 0 ? "more" : "fewer"}`;
    return [
      `${visibleName(label)} executed ${much} FLOPs than ${visibleName(reference.label)}.`,
    ];
  };
}

function isFree({ matched, isa }: RowSummary): boolean {
  return matched === null && isa === null;
}

function domainColumn(name: string): Column {
  const cell: Column[1] = ({ valid_loss_by_domain: losses }) =>
    losses[name] === undefined ? NONE : withError(losses[name], 4);
  return [`loss on ${visibleName(name)}`, cell];
}

function differenceCell(
  { difference }: RowFigures,
  { label }: RowSummary,
  rows: readonly RowSummary[],
): string {
  if (difference !== null) return differenceText(difference);
  // Its own repetition with another instruction set does not make a row the baseline of the table.
  return rows.some(({ baseline, isa }) => baseline === label && isa === null) ? "baseline" : NONE;
}

/** Says how many seeds the mean leaves out: those that did not settle. */
function settledCell({ routing }: RowFigures, { seeds }: RowSummary): string {
  const settled = routing?.settled ?? null;
  const some = settled !== null && settled.n < seeds.length;
  return `${range(settled)}${some ? ` (${settled.n} of ${seeds.length})` : ""}`;
}

/**
 * Writes a difference with its confidence interval.
 *
 * @param difference The difference.
 * @returns Like `-0.1335 [-0.2119, -0.0551]`.
 */
export function differenceText({ mean, interval, n }: Estimate): string {
  if (interval === null) return `${signed(mean)} (${n} seed)`;
  return `${signed(mean)} [${signed(interval[0])}, ${signed(interval[1])}]`;
}

function signed(value: number): string {
  const text = value !== 0 && Math.abs(value) < 5e-5 ? value.toExponential(1) : value.toFixed(4);
  return `${value < 0 ? "" : "+"}${text}`;
}

/**
 * Writes a mean with its standard error.
 *
 * @param estimate The mean.
 * @param digits Decimals.
 * @returns Like `1.7324 ± 0.0137`; the mean alone for one value.
 */
export function withError({ mean, standard_error }: Estimate, digits: number): string {
  const error = standard_error === null ? "" : ` ± ${standard_error.toFixed(digits)}`;
  return `${mean.toFixed(digits)}${error}`;
}

function range(estimate: Estimate | null): string {
  if (estimate === null) return NONE;
  const { mean, deviation } = estimate;
  const spread = deviation === null || deviation === 0 ? "" : ` ± ${Math.round(deviation)}`;
  return `${Math.round(mean)}${spread}`;
}
