/**
 * The page that `plot` writes: all charts and the runs' final figures and configurations, in one
 * self-contained file.
 *
 * @module
 */

import { routerLabel, routerOf } from "../../lib/moe/router_of.ts";
import { type FinalFigures, finalFigures } from "../../lib/plot/final_figures.ts";
import type { RunFigures } from "../../lib/plot/run_figures.ts";
import { CURVES } from "../../lib/plot/theme.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { formatBytes, formatCount, formatLambda } from "../shared/format.ts";
import { type DrawnChart, escapeHtml, figure, pageFrame } from "../shared/page_frame.ts";

/** A row of a table: its heading, and a cell per run. */
type Row = readonly [string, ...string[]];

const NONE = "–";

/**
 * Writes the page.
 *
 * @param runs The runs.
 * @param charts The charts.
 * @returns HTML.
 */
export function plotPage(runs: readonly RunFigures[], charts: readonly DrawnChart[]): string {
  const title = runs.map(({ label }) => label).join(", ");
  const links = charts.map(({ name, title }) =>
    `<a href="#${escapeHtml(name)}">${escapeHtml(title)}</a>`
  );
  const different = differences(runs.map(({ config }) => config));
  return pageFrame(
    title,
    `<nav>${links.join(" ")}</nav>
<h2>Final figures</h2>
${table(runs, figureRows(runs))}
${different.length === 0 ? "" : `<h2>Where the runs differ</h2>\n${table(runs, different)}`}
<h2>Charts</h2>
<main>
${charts.map(figure).join("\n")}
</main>
<h2>Configurations</h2>
${runs.map(configuration).join("\n")}`,
  );
}

function figureRows(runs: readonly RunFigures[]): Row[] {
  const finals = runs.map(finalFigures);
  const row = (name: string, cell: (final: FinalFigures, run: RunFigures) => string): Row => [
    name,
    ...finals.map((final, index) => cell(final, runs[index]!)),
  ];
  const number = (value: number | null, write: (value: number) => string): string =>
    value === null ? NONE : write(value);
  const fixed = (digits: number) => (value: number): string => value.toFixed(digits);
  const rows = [
    row("Router", (_, { config }) => routerText(config)),
    row(
      "Parameters",
      ({ parameters }) =>
        `${formatCount(parameters.total)}, ${formatCount(parameters.active)} active`,
    ),
    row(
      "Steps",
      ({ step, steps }) => step === steps ? count(step) : `${count(step)} of ${count(steps)}`,
    ),
    row("Tokens", ({ tokens }) => formatCount(tokens)),
    row("Training loss, nats per token", ({ loss }) => number(loss, fixed(4))),
    row("Validation loss, nats per token", ({ validLoss }) => number(validLoss, fixed(4))),
    ...(finals.every(({ validLossNoncausal: loss }) => loss === null) ? [] : [
      row(
        "Validation loss beyond Lory's first segment",
        ({ validLossLater }) => number(validLossLater, fixed(4)),
      ),
      row(
        "Validation loss of that segment, not causal",
        ({ validLossNoncausal }) => number(validLossNoncausal, fixed(4)),
      ),
    ]),
    row("Validation, bits per byte", ({ bitsPerByte }) => number(bitsPerByte, fixed(4))),
    ...domainRows(runs),
    row(
      "Sparsity",
      ({ sparsity, target }) =>
        number(sparsity, (value) => `${value.toFixed(4)}, target ${target!.toFixed(4)}`),
    ),
    row(
      "Sparsity of layers",
      ({ layers }) => layers === null ? NONE : `${layers[0].toFixed(3)} to ${layers[1].toFixed(3)}`,
    ),
    row("λ", ({ lambda }) => number(lambda, formatLambda)),
    row("Sparse from step", ({ sparseFrom }) => number(sparseFrom, count)),
    row(
      "Largest load as a multiple of the fair share",
      ({ largestLoad }) => number(largestLoad, fixed(2)),
    ),
    row("Experts without a row", ({ idleExperts }) => number(idleExperts, String)),
    row("Tokens per second, median", ({ tokensPerSecond }) => number(tokensPerSecond, formatCount)),
    row("Device memory at most", ({ memory }) => number(memory, formatBytes)),
  ];
  return rows.filter(([, ...cells]) => cells.some((cell) => cell !== NONE));
}

function domainRows(runs: readonly RunFigures[]): Row[] {
  const losses = runs.map(({ validations }) => validations.at(-1)?.valid_loss_by_domain ?? {});
  const names = new Set(losses.flatMap((each) => Object.keys(each)));
  return [...names].map((name): Row => [
    `Validation loss on ${name}`,
    ...losses.map((each) => each[name]?.toFixed(4) ?? NONE),
  ]);
}

function routerText({ moe }: TrainConfig): string {
  const name = routerLabel(moe.router);
  const router = routerOf(moe);
  if (!router.routed) return name;
  if (router.merges) return `${name}, ${moe.experts} experts merged`;
  const parts = moe.granularity > 1 ? `, each in ${moe.granularity} parts` : "";
  return `${name}, ${moe.active} of ${moe.experts} experts${parts}`;
}

/** The configuration keys whose values differ between runs. */
function differences(configs: readonly TrainConfig[]): Row[] {
  const flat = configs.map((config) => new Map(leaves(config)));
  const keys = [...new Set(flat.flatMap((each) => [...each.keys()]))].filter((key) =>
    key !== "out"
  );
  return keys
    .map((key): Row => [key, ...flat.map((each) => each.get(key) ?? NONE)])
    .filter(([, ...cells]) => new Set(cells).size > 1);
}

function leaves(value: object, prefix = ""): [string, string][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]): [string, string][] =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? leaves(inner, `${prefix}${key}.`)
      : [[prefix + key, JSON.stringify(inner)]]
  );
}

function table(runs: readonly RunFigures[], rows: readonly Row[]): string {
  const heads = runs.map(({ label }, index) =>
    `<th scope="col"><i style="background:var(--curve-${index % CURVES.length})"></i> ` +
    `${escapeHtml(label)}</th>`
  );
  const body = rows.map(([name, ...cells]) =>
    `<tr><th scope="row">${escapeHtml(name)}</th>` +
    `${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}</tr>`
  );
  return `<div class="wide"><table>\n<thead><tr><td></td>${heads.join("")}</tr></thead>\n` +
    `<tbody>\n${body.join("\n")}\n</tbody>\n</table></div>`;
}

function configuration({ label, path, config }: RunFigures): string {
  const text = JSON.stringify(config, null, 2);
  return `<details><summary>${escapeHtml(label)} <small>${escapeHtml(path)}</small></summary>` +
    `<pre>${escapeHtml(text)}</pre></details>`;
}

function count(value: number): string {
  return value.toLocaleString("en");
}
