/** Counts as a page. @module */

import { type Column, markdownTable } from "../harness/table.ts";
import type { Measured } from "./measured.ts";
import { type KernelSummary, type Summary, TARGETS, type Waste } from "./summary.ts";

/** When and of what the counts are. */
export interface Origin {
  readonly date: string;
  readonly commit: string;
}

/**
 * Writes the page.
 *
 * @param summaries The calls.
 * @param times Rows of a GPU's log.
 * @param origin When and of what.
 * @param notes The page's prose, in which each `<!-- counts -->` gives way to the tables.
 * @returns Markdown.
 */
export function asMarkdown(
  summaries: readonly Summary[],
  times: ReadonlyMap<string, Measured>,
  { date, commit }: Origin,
  notes: string,
): string {
  const groups = Map.groupBy(summaries, ({ group }) => group);
  const sections = [...groups].map(([group, own]) =>
    `### ${group}\n\n${callTable(own, times)}\n\n${kernelTable(own)}`
  );
  const counts = [
    `Written by \`deno task roofline\` on ${date} at commit ${commit}; edit ` +
    "`bench/roofline/notes.md` and run it again.",
    ...sections,
    `### Instructions above a target\n\n${wasteTable(summaries)}`,
  ].join("\n\n");
  return notes.replace("<!-- counts -->", counts);
}

/** The calls, each beside what it was measured to take. */
function callTable(
  summaries: readonly Summary[],
  times: ReadonlyMap<string, Measured>,
): string {
  const columns: Column[] = [
    { title: "call" },
    { title: "bound" },
    { title: "least MB", isNumber: true },
    { title: "moved, of that", isNumber: true },
    { title: "requested, of that", isNumber: true },
    { title: "sectors", isNumber: true },
    { title: "passes", isNumber: true },
    { title: "tensor cores, of the formula", isNumber: true },
    { title: "H200", isNumber: true },
  ];
  const rows = summaries.map((summary) => [
    summary.name,
    summary.bound,
    megabytes(summary.minimum),
    marked(summary.moved / summary.minimum, isBoundByMemory(summary) ? TARGETS.bytes : Infinity),
    ratio(summary.requested / summary.minimum),
    marked(summary.sectors, TARGETS.sectors),
    marked(summary.banks, TARGETS.banks),
    summary.formula === undefined ? "" : ratio(summary.operations / summary.formula),
    measured(summary, times),
  ]);
  return markdownTable(columns, rows);
}

function isBoundByMemory({ bound }: Summary): boolean {
  return bound === "memory";
}

function measured({ timed }: Summary, times: ReadonlyMap<string, Measured>): string {
  const row = timed === undefined ? undefined : times.get(timed);
  if (row === undefined) return "";
  if (row.ofCopy !== undefined) return `${row.ofCopy.toFixed(2)} of a copy`;
  return row.ofProduct === undefined ? "" : `${row.ofProduct.toFixed(2)} of a product`;
}

/** Kernels with a smaller share of what their call requests are left out. */
const LEAST_KERNEL = 0.01;

/** The kernels of the calls. */
function kernelTable(summaries: readonly Summary[]): string {
  const columns: Column[] = [
    { title: "kernel" },
    { title: "of the call" },
    { title: "launches", isNumber: true },
    { title: "blocks", isNumber: true },
    { title: "moved MB", isNumber: true },
    { title: "requested MB", isNumber: true },
    { title: "sectors", isNumber: true },
    { title: "passes", isNumber: true },
    { title: "tensor GFLOP", isNumber: true },
  ];
  const row = (call: string, kernel: KernelSummary) => [
    kernel.name,
    call,
    `${kernel.launches}`,
    `${kernel.blocks}`,
    megabytes(kernel.moved),
    megabytes(kernel.requested),
    marked(kernel.sectors, TARGETS.sectors),
    marked(kernel.banks, TARGETS.banks),
    kernel.operations === 0 ? "" : (kernel.operations / 1e9).toFixed(2),
  ];
  return markdownTable(
    columns,
    summaries.flatMap(({ name, requested, kernels }) =>
      kernels.filter((kernel) => kernel.requested >= LEAST_KERNEL * requested)
        .map((kernel) => row(name, kernel))
    ),
  );
}

/** Each instruction once, where it wastes most. */
function wasteTable(summaries: readonly Summary[]): string {
  const columns: Column[] = [
    { title: "kernel" },
    { title: "place" },
    { title: "access" },
    { title: "ratio", isNumber: true },
    { title: "share", isNumber: true },
  ];
  const worst = new Map<string, Waste>();
  for (const waste of summaries.flatMap(({ wastes }) => wastes)) {
    const key = `${waste.kernel} ${own(waste)} ${access(waste)}`;
    const before = worst.get(key);
    if (before === undefined || before.share < waste.share) worst.set(key, waste);
  }
  const rows = [...worst.values()].map((waste) => [
    waste.kernel,
    own(waste),
    access(waste),
    ratio(waste.ratio),
    `${(100 * waste.share).toFixed(0)}%`,
  ]);
  return markdownTable(columns, rows);
}

/** The innermost line that is not one of a helper of all kernels. */
function own({ place }: Waste): string {
  const lines = place.split(" in ");
  return lines.find((line) => !line.startsWith("device/")) ?? place;
}

function access({ space, write, width }: Waste): string {
  const words = { global: "global", shared: "shared", matrices: "ldmatrix" }[space];
  return `${words} ${write ? "store" : "load"} of ${width} bytes`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 1);
}

function ratio(value: number | null): string {
  return value === null ? "" : value.toFixed(2);
}

/** A ratio, in bold if it is above the target. */
function marked(value: number | null, most: number): string {
  const text = ratio(value);
  return Number(text) > most ? `**${text}**` : text;
}
