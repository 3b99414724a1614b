/**
 * The page at `/`: completes texts live, and shows the experts of each token, layer by layer.
 *
 * @module
 */

import type { TrainConfig } from "../../lib/config/config.ts";
import { routedExperts } from "../../lib/moe/layer_sizes.ts";
import { routerLabel, routerOf } from "../../lib/moe/router_of.ts";
import { visibleName } from "../../lib/visible.ts";
import { escapeHtml, pageFrame } from "../shared/page_frame.ts";
import { embedded, expertColour } from "../shared/token_colours.ts";
import { PAGE_SCRIPT, PAGE_STYLE } from "./page_script.ts";

/** What the page says of the model. */
export interface ServedModel {
  /** Its name in requests. */
  readonly name: string;
  /** Training steps completed. */
  readonly step: number;
  /** Its configuration. */
  readonly config: TrainConfig;
  /** Most tokens of a text. */
  readonly context: number;
}

/**
 * Writes the page.
 *
 * @param model The model.
 * @returns HTML.
 */
export function servePage({ name, step, config, context }: ServedModel): string {
  const { moe, model } = config;
  const { routed } = routerOf(moe);
  const experts = routed ? routedExperts(moe) : 0;
  const about = [
    `router ${routerLabel(moe.router)}`,
    ...(routed ? [`${experts} experts in each of ${model.layers} layers`] : []),
    `step ${step}`,
    `${context} tokens`,
  ];
  const data = {
    name,
    context,
    layers: routed ? model.layers : 0,
    colours: Array.from({ length: experts }, (_, expert) => expertColour(expert)),
  };
  return pageFrame(
    visibleName(name),
    `<style>${PAGE_STYLE}</style>
<p><small>${escapeHtml(about.join(", "))}</small></p>
<noscript><p>This page takes JavaScript; docs/serve.md shows how to ask with curl.</p></noscript>
<form id="form">
<label for="prompt">Prompt</label>
<textarea id="prompt" rows="4" spellcheck="false" placeholder="Empty: the start of a document"></textarea>
<div id="settings">
${setting("max_tokens", "Tokens", 'type="number" min="1" value="100"')}
${setting("temperature", "Temperature", 'type="number" min="0" max="100" step="any" value="0.8"')}
${setting("top_p", "Top p", 'type="number" min="0" max="1" step="any" value="0.95"')}
${setting("seed", "Seed", 'type="number" min="0" placeholder="random"')}
${setting("stop", "Stop at", 'type="text" placeholder="nothing"')}
</div>
<button id="complete">Complete</button> <button id="cancel" type="button" disabled>Stop</button>
<small id="status" role="status"></small>
</form>
<div id="switch"${routed ? "" : " hidden"}>
<div id="layers" role="radiogroup" aria-label="Layer"></div>
<div id="experts" aria-label="Experts"></div></div>
<p class="passage" id="text" aria-live="off"></p>
${routed ? HINT : ""}
<script type="application/json" id="model">${embedded(data)}</script>
<script>${PAGE_SCRIPT}</script>`,
  );
}

const HINT = `<p><small>Each token has the colours of its experts, from the first at the top; grey
tokens have none. Point at a token for their gates. Choose an expert to see its tokens alone.</small></p>`;

function setting(id: string, label: string, attributes: string): string {
  return `<label for="${id}">${label} <input id="${id}" ${attributes}></label>`;
}
