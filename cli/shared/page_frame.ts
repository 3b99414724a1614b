/**
 * The frame of a page with charts: one self-contained file, light or dark as the reader prefers.
 *
 * @module
 */

import { COLOURS, CURVES } from "../../lib/plot/theme.ts";
import { visible } from "../../lib/visible.ts";

/** A chart as SVG. */
export interface DrawnChart {
  /** The file's name without its extension. */
  readonly name: string;
  /** What it shows. */
  readonly title: string;
  /** The drawing, in the colours of a light page. */
  readonly svg: string;
}

/**
 * Puts a page together.
 *
 * @param title Its heading.
 * @param body What follows the heading, as HTML.
 * @returns HTML.
 */
export function pageFrame(title: string, body: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>
${style()}
</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${body}
</body>
</html>
`;
}

/**
 * Writes a chart as part of a page.
 *
 * @param chart The chart.
 * @param index Its index among the page's charts.
 * @returns HTML, with the chart's name as its anchor.
 */
export function figure({ name, title, svg }: DrawnChart, index: number): string {
  return `<figure id="${escapeHtml(name)}" role="img" aria-label="${escapeHtml(title)}">` +
    `${inline(svg, index)}</figure>`;
}

/**
 * Escapes text for HTML.
 *
 * @param text Any text.
 * @returns The text, with control characters made visible.
 */
export function escapeHtml(text: string): string {
  return visible(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
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
