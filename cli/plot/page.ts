/**
 * The page that `plot` writes: all charts and the runs' final figures and configurations, in one
 * self-contained file.
 *
 * @module
 */

import { routerLabel, routerOf } from "../../lib/moe/router_of.ts";
import { type FinalFigures, finalFigures } from "../../lib/plot/final_figures.ts";
import type { RunFigures } from "../../lib/plot/run_figures.ts";
import { COLOURS, CURVES } from "../../lib/plot/theme.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { visible } from "../../lib/visible.ts";
import { formatBytes, formatCount, formatLambda } from "../shared/format.ts";

/** A chart as SVG. */
export interface DrawnChart {
  /** The file's name without its extension. */
  readonly name: string;
  /** What it shows. */
  readonly title: string;
  /** The drawing, in the colours of a light page. */
  readonly svg: string;
}

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
  const figures = charts.map((chart, index) =>
    `<figure id="${escape(chart.name)}" role="img" aria-label="${escape(chart.title)}">` +
    `${inline(chart.svg, index)}</figure>`
  );
  const links = charts.map(({ name, title }) => `<a href="#${escape(name)}">${escape(title)}</a>`);
  const different = differences(runs.map(({ config }) => config));
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title)}</title>
<style>
${style()}
</style>
</head>
<body>
<h1>${escape(title)}</h1>
<nav>${links.join(" ")}</nav>
<h2>Final figures</h2>
${table(runs, figureRows(runs))}
${different.length === 0 ? "" : `<h2>Where the runs differ</h2>\n${table(runs, different)}`}
<h2>Charts</h2>
<main>
${figures.join("\n")}
</main>
<h2>Configurations</h2>
${runs.map(configuration).join("\n")}
</body>
</html>
`;
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
    row(
      "Validation loss of causally routed tokens",
      ({ validLossCausal }) => number(validLossCausal, fixed(4)),
    ),
    row(
      "Validation loss of the tokens before them",
      ({ validLossNoncausal }) => number(validLossNoncausal, fixed(4)),
    ),
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
    `${escape(label)}</th>`
  );
  const body = rows.map(([name, ...cells]) =>
    `<tr><th scope="row">${escape(name)}</th>` +
    `${cells.map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`
  );
  return `<div class="wide"><table>\n<thead><tr><td></td>${heads.join("")}</tr></thead>\n` +
    `<tbody>\n${body.join("\n")}\n</tbody>\n</table></div>`;
}

function configuration({ label, path, config }: RunFigures): string {
  const text = JSON.stringify(config, null, 2);
  return `<details><summary>${escape(label)} <small>${escape(path)}</small></summary>` +
    `<pre>${escape(text)}</pre></details>`;
}

/**
 * A chart as part of the page: its colours follow the page's, and its ids get a prefix, since every
 * drawing numbers its clips and gradients from 0.
 */
function inline(svg: string, index: number): string {
  return COLOURS.reduce(
    (text, { light }, colour) => text.replaceAll(`"${light}"`, `"var(--colour-${colour})"`),
    svg
      .replaceAll(/\bid="([^"]+)"/g, `id="chart${index}-$1"`)
      .replaceAll(/url\(#([^)]+)\)/g, `url(#chart${index}-$1)`)
      .replaceAll(/href="#([^"]+)"/g, `href="#chart${index}-$1"`),
  );
}

function style(): string {
  const variables = (theme: "light" | "dark"): string =>
    [
      ...COLOURS.map((colour, index) => `--colour-${index}:${colour[theme]}`),
      ...CURVES.map((colour, index) => `--curve-${index}:${colour[theme]}`),
    ].join(";");
  return `:root{${variables("light")}}
@media (prefers-color-scheme: dark){:root{${variables("dark")}}}
body{margin:2rem auto;padding:0 1.5rem;max-width:1480px;background:var(--colour-0);color:var(--colour-1);
font:15px/1.5 Helvetica,Arial,"Liberation Sans",sans-serif}
h1{font-size:1.5rem;margin:0 0 .5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .75rem}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem}a,small{color:var(--colour-2)}
main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,640px),1fr));gap:1rem;align-items:start}
figure{margin:0}figure svg{max-width:100%;height:auto;display:block}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3rem 1rem .3rem 0;text-align:left;border-bottom:1px solid var(--colour-3);white-space:nowrap}
tbody th{font-weight:normal;color:var(--colour-2)}thead th{font-weight:600}
i{display:inline-block;width:.75rem;height:.75rem;border-radius:2px}
summary{cursor:pointer}pre{overflow-x:auto;font-size:13px}`;
}

function count(value: number): string {
  return value.toLocaleString("en");
}

function escape(text: string): string {
  return visible(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
