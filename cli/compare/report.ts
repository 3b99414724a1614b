/**
 * The files of a comparison: `results.json`, `table.md`, `report.html` and the charts.
 *
 * @module
 */

import { compareCharts } from "../../lib/compare/charts.ts";
import type { CompareResults } from "../../lib/compare/results.ts";
import { writeAtomically } from "../../lib/files.ts";
import { type DrawnChart, escapeHtml, figure, pageFrame } from "../shared/page_frame.ts";
import type { Render } from "../shared/render.ts";
import { markdownTable, remarks, tableCells } from "./table.ts";

/**
 * Writes `results.json` and `table.md`.
 *
 * @param out The comparison's folder.
 * @param results The comparison.
 * @throws {FileError} If a file cannot be written.
 */
export function writeResults(out: string, results: CompareResults): void {
  writeAtomically(`${out}/results.json`, `${JSON.stringify(results, null, 1)}\n`);
  writeAtomically(`${out}/table.md`, markdownTable(results));
}

/**
 * Draws the charts and writes the page with table and charts.
 *
 * @param out The comparison's folder.
 * @param results The comparison.
 * @param render The renderer.
 * @returns Names of the charts' files.
 * @throws {FileError} If a file cannot be written.
 */
export async function writeReport(
  out: string,
  results: CompareResults,
  render: Render,
): Promise<string[]> {
  const drawn: DrawnChart[] = [];
  for (const { name, title, spec } of compareCharts(results.rows, results.runs)) {
    drawn.push({ name, title, svg: await render(spec) });
  }
  for (const { name, svg } of drawn) writeAtomically(`${out}/${name}.svg`, `${svg}\n`);
  writeAtomically(`${out}/report.html`, reportPage(results, drawn));
  return drawn.map(({ name }) => `${name}.svg`);
}

/**
 * Writes the page.
 *
 * @param results The comparison.
 * @param charts The charts.
 * @returns HTML that needs no other file.
 */
export function reportPage(results: CompareResults, charts: readonly DrawnChart[]): string {
  const { head, rows } = tableCells(results);
  const cells = (tag: string, all: readonly string[]): string =>
    all.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("");
  const body = rows.map(([name = "", ...rest]) =>
    `<tr><th scope="row">${escapeHtml(name)}</th>${cells("td", rest)}</tr>`
  );
  const links = charts.map(({ name, title }) =>
    `<a href="#${escapeHtml(name)}">${escapeHtml(title)}</a>`
  );
  return pageFrame(
    "Comparison of routers",
    `<nav>${links.join(" ")}</nav>
<div class="wide"><table>
<thead><tr>${cells("th", head)}</tr></thead>
<tbody>
${body.join("\n")}
</tbody>
</table></div>
<ul>
${remarks(results).map((text) => `<li>${escapeHtml(text)}</li>`).join("\n")}
</ul>
<main>
${charts.map(figure).join("\n")}
</main>`,
  );
}
