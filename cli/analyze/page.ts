/**
 * The page that `analyze` writes: charts, and below them the experts of each token of a text, layer
 * by layer, in one self-contained file.
 *
 * @module
 */

import type { Passage } from "../../lib/analyze/passage.ts";
import { visible, visibleName } from "../../lib/visible.ts";
import { type DrawnChart, escapeHtml, figure, pageFrame } from "../shared/page_frame.ts";
import { embedded, expertColour } from "../shared/token_colours.ts";
import type { Analysis, AnalyzedModel } from "./analysis.ts";
import { PAGE_SCRIPT, PAGE_STYLE } from "./page_script.ts";
import { summaryRows } from "./summary.ts";

/**
 * Writes the page.
 *
 * @param analysis The results.
 * @param model The model.
 * @param charts The charts.
 * @returns HTML.
 */
export function analysisPage(
  analysis: Analysis,
  model: AnalyzedModel,
  charts: readonly DrawnChart[],
): string {
  const name = visibleName(model.path.replace(/^.*\//, ""));
  const sections = [
    ...charts.map(({ name, title }) => [name, title] as const),
    ["text", "Text"] as const,
    ["expert_tokens", "Tokens of each expert"] as const,
  ];
  const links = sections.map(([name, title]) =>
    `<a href="#${escapeHtml(name)}">${escapeHtml(title)}</a>`
  );
  const rows = summaryRows(analysis, model).map(([name, text]) =>
    `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(text)}</td></tr>`
  );
  return pageFrame(
    `Routing of ${name}`,
    `<style>${PAGE_STYLE}</style>
<nav>${links.join(" ")}</nav>
<h2>Figures</h2>
<div class="wide"><table><tbody>
${rows.join("\n")}
</tbody></table></div>
<h2>Charts</h2>
<main>
${charts.map(figure).join("\n")}
</main>
<h2>Layer by layer</h2>
<noscript><p>Showing these takes JavaScript; text.json and expert_tokens.json have the figures.</p></noscript>
<div id="switch"><div id="layers" role="radiogroup" aria-label="Layer"></div>
<div id="experts" aria-label="Experts"></div></div>
<section id="text"><h3>Text</h3>
<p><small>Each token has the colours of its experts, from the first at the top; grey tokens have none.
Point at a token for their gates. Choose an expert above to see its tokens alone.</small></p>
<div id="passages"></div></section>
<section id="expert_tokens"><h3>Tokens of each expert</h3>
<p><small>Token ids with the highest routing probability, used / occurrences, among those that occur
at least ${analysis.expert_tokens.least} times. ␣ is a space, ⏎ a line's end, ⇥ a tab.</small></p>
<div class="wide"><table><tbody id="table"></tbody></table></div></section>
<script type="application/json" id="routing">${embedded(pageData(analysis))}</script>
<script>${PAGE_SCRIPT}</script>`,
  );
}

/** The data that the page's script shows. */
function pageData({ load, expert_tokens, passages }: Analysis): object {
  return {
    shares: load.share_of_tokens.map((shares) => shares.map(fourDigits)),
    colours: load.share_of_tokens[0]!.map((_, expert) => expertColour(expert)),
    tokens: expert_tokens.layers.map((experts) =>
      experts.map((tokens) =>
        tokens.map(({ text, probability, used, occurrences }) => [
          markedText(text),
          fourDigits(probability),
          used,
          occurrences,
        ])
      )
    ),
    passages: passages.map(pagePassage),
  };
}

function pagePassage({ title, tokens, layers }: Passage): object {
  return {
    title: visibleName(title),
    tokens: tokens.map(({ id, text }) => [id, visible(text.replaceAll("\t", "⇥"))]),
    layers: layers.map((row) =>
      row.map((experts) => experts.map(([expert, gate]) => [expert, fourDigits(gate)]))
    ),
  };
}

/** A token's text on one line, with its white space marked. */
function markedText(text: string): string {
  return visibleName(
    text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥"),
  );
}

function fourDigits(value: number): number {
  return Number(value.toPrecision(4));
}
