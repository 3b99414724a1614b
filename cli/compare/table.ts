/**
 * The table of a comparison as text, for a terminal and in Markdown.
 *
 * @module
 */

import type { CompareResults } from "../../lib/compare/results.ts";
import type { Estimate } from "../../lib/compare/statistics.ts";
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

/** A column: its heading and its cell in a row. */
type Column = readonly [string, (figures: RowFigures, row: RowSummary) => string];

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
  ["load max/mean", ({ routing }) => routing === null ? NONE : routing.imbalance.toFixed(2)],
  [
    "dead experts",
    ({ routing }) => routing === null ? NONE : `${Number(routing.dead_experts.toFixed(1))}`,
  ],
  ["settled at step", ({ routing }) => range(routing?.settled ?? null)],
  ["tokens/s", ({ tokens_per_second }) => formatCount(tokens_per_second)],
  ["executed FLOPs", ({ flops }) => formatCount(flops.mean)],
  ["parameters", ({ parameters }) => formatCount(parameters.total)],
  ["active", ({ parameters }) => formatCount(parameters.active)],
];

/** A router that sees later tokens has an advantage that generation lacks. */
const CAUSAL: Column = [
  "loss of causal tokens",
  ({ valid_loss, valid_loss_causal }, { causal }) =>
    causal === "none" ? NONE : withError(valid_loss_causal ?? valid_loss, 4),
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
  const isSplit = rows.some(({ figures }) =>
    figures !== null && figures.valid_loss_causal !== null
  );
  const columns = [
    ...COLUMNS,
    ...(isSplit ? [CAUSAL] : []),
    ...Array.from(domains, domainColumn),
  ];
  return {
    head: ["router", "seeds", ...columns.map(([name]) => name)],
    rows: rows.map((row) => [
      visibleName(row.label),
      row.seeds.length === seeds.length
        ? `${seeds.length}`
        : `${row.seeds.length} of ${seeds.length}`,
      ...columns.map(([, cell]) => row.figures === null ? NONE : cell(row.figures, row)),
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
    `with its 95 % confidence interval by Student's t. Sparsity, load and dead experts are those of ` +
    `the second half of the steps.`,
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
    ...rows.flatMap(noiseRemark),
    ...rows.flatMap(overrunRemark(rows)),
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

/** Equal compute is only planned: reports a row whose executed FLOPs differ. */
function overrunRemark(rows: readonly RowSummary[]): (row: RowSummary) => string[] {
  return ({ label, matched, figures, seeds }) => {
    const reference = rows.find((row) => row.label === matched)?.figures;
    if (!reference || !figures || seeds.length === 0) return [];
    const off = figures.flops.mean / reference.flops.mean - 1;
    if (Math.abs(off) < 0.01 || figures.flops.n !== reference.flops.n) return [];
    return [
      `${label} executed ${(100 * Math.abs(off)).toFixed(1)} % ${
        off > 0 ? "more" : "fewer"
      } FLOPs ` +
      `than ${matched}.`,
    ];
  };
}

function domainColumn(name: string): Column {
  const cell: Column[1] = ({ valid_loss_by_domain: losses }) =>
    losses[name] === undefined ? NONE : withError(losses[name], 4);
  return [`loss on ${visibleName(name)}`, cell];
}

function differenceCell({ difference }: RowFigures, { baseline }: RowSummary): string {
  if (baseline === null) return "baseline";
  return difference === null ? NONE : differenceText(difference);
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
