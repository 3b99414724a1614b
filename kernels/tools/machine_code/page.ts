/**
 * The page about machine code.
 *
 * @module
 */

import type { Group } from "./check.ts";
import type { Kernel } from "./disassemble.ts";
import { type Facts, total } from "./facts.ts";
import type { Counts } from "./listing.ts";

const COLUMNS: readonly (readonly [string, (group: Group) => string])[] = [
  ["kernels", ({ facts }) => facts.kind],
  ["target", ({ target }) => target],
  ["number", ({ kernels }) => `${kernels.length}`],
  ["registers", ({ kernels }) => range(kernels, ({ registers }) => registers)],
  ["local bytes", ({ kernels }) => range(kernels, ({ stack }) => stack)],
  ["HGMMA", all("HGMMA")],
  ["HMMA", all("HMMA")],
  ["TMA loads", all("UTMALDG", "UBLKCP")],
  ["global loads, 16 B", all("LDG.128", "LDGSTS.128", "LD.128")],
  ["global stores, 16 B", all("STG.128", "ST.128", "UTMASTG", "UTMAREDG")],
  ["loop: tensor cores", loop("HGMMA", "HMMA")],
  ["loop: FMA", loop("FFMA")],
  ["loop: LDSM, LDS of 16 B", loop("LDSM", "LDS.128")],
  ["loop: narrower LDS", loop("LDS.64", "LDS.32", "LDS.16")],
  ["loop: global loads, 16 B", loop("LDG.128")],
  ["loop: global loads, narrower", loop("LDG.64", "LDG.32", "LDG.16")],
];

/**
 * Writes the page.
 *
 * @param groups Kernels by kind.
 * @param count How many kernels the library has for all targets.
 * @param tools Compiler and disassembler.
 * @returns Markdown.
 */
export function writePage(groups: readonly Group[], count: number, tools: string): string {
  const header = COLUMNS.map(([name]) => name);
  const rows = groups.map((group) => COLUMNS.map(([, cell]) => cell(group)));
  const kinds = [...new Set(groups.map(({ facts }) => facts))];
  return [
    "# Machine code of the CUDA kernels",
    "",
    "Written by `deno task machine-code --write`, not by hand. `deno task build:cuda` runs the same",
    "check, and fails where a kernel is not as expected.",
    "",
    `It disassembles the library's ${count} kernels, instances of templates for either target`,
    `(${tools}). None may use local memory without a reason; those of products, experts,`,
    "routers' products and attention have to be as the second table says.",
    "",
    "Counts are of instructions, least to most over the kernels of a kind. The loop is the innermost",
    "one with most of a kernel's arithmetic. Where operands may be ragged or unaligned, it holds",
    "narrow loads beside the wide ones, and one or the other runs. Shared memory is not listed: its",
    "size is given at launch. `UTMALDG` and `UBLKCP` are bulk copies by TMA, `LDGSTS` is an",
    "asynchronous copy to shared memory, and `LDSM` is `ldmatrix`.",
    "",
    table(header, rows),
    "",
    "What is checked:",
    "",
    table(["kernels", "facts"], kinds.map((facts) => [facts.kind, words(facts)])),
    "",
  ].join("\n");
}

function words(facts: Facts): string {
  const least = (counts: Counts): string =>
    Object.entries(counts).map(([name, count]) => `${name} ≥ ${count}`).join(", ");
  return [
    facts.loop === undefined ? "" : `loop: ${least(facts.loop)}`,
    facts.loopWithout === undefined ? "" : `loop without ${facts.loopWithout.join(", ")}`,
    facts.has === undefined ? "" : least(facts.has),
    facts.without === undefined ? "" : `no ${facts.without.join(", ")}`,
    facts.local === undefined ? "no local memory" : `local memory, as ${facts.local}`,
  ].filter((part) => part !== "").join("; ");
}

function all(...operations: readonly string[]): (group: Group) => string {
  return ({ kernels }) => range(kernels, ({ all }) => sum(all, operations));
}

function loop(...operations: readonly string[]): (group: Group) => string {
  return ({ kernels }) => range(kernels, ({ loop }) => sum(loop ?? {}, operations));
}

function sum(counts: Counts, operations: readonly string[]): number {
  return operations.reduce((sum, operation) => sum + total(counts, operation), 0);
}

function range(kernels: readonly Kernel[], value: (kernel: Kernel) => number): string {
  const values = kernels.map(value);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? `${least}` : `${least} to ${most}`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
}
