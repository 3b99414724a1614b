/**
 * Tokens in the colours of their experts, for pages.
 *
 * @module
 */

import { CURVES } from "../../lib/plot/theme.ts";

/** Functions that colour tokens; a page's own script follows. */
export const TOKEN_SCRIPT = String.raw`
"use strict";
const byId = (id) => document.getElementById(id);
const MOST_BANDS = 8;

function make(tag, text, properties = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  return Object.assign(element, properties);
}

/** The experts to draw: with many of them, those of the largest gates. */
function bands(gates) {
  if (gates.length <= MOST_BANDS) return gates;
  return gates.toSorted((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, MOST_BANDS)
    .sort((a, b) => a[0] - b[0]);
}

/** Gives a token the colours of its experts; if one is picked, others' tokens turn grey. */
function paint(span, gates, name, colours, picked) {
  const shown = bands(gates);
  const stops = shown.map(([expert], i) => {
    const colour = "color-mix(in srgb, " + colours[expert] + " 60%, transparent)";
    return colour + " " + 100 * i / shown.length + "% " + 100 * (i + 1) / shown.length + "%";
  });
  span.style.backgroundImage = stops.length === 0 ? "" : "linear-gradient(" + stops + ")";
  span.classList.toggle("none", gates.length === 0);
  span.classList.toggle("other", picked !== null && !gates.some(([expert]) => expert === picked));
  span.title = name + (gates.length === 0
    ? ": no expert"
    : ": " + gates.map(([expert, gate]) => "expert " + expert + " (gate " + gate + ")").join(", "));
}

/** What a token shows: one without text has a mark to point at. */
function shownText(text) {
  return text === "" ? "·" : text.replaceAll("\n", "⏎\n");
}

function swatch(expert, colours) {
  const mark = make("i", "");
  mark.style.background = colours[expert];
  return mark;
}

function percent(share) {
  return (100 * share).toFixed(1) + " %";
}

/** A button that picks an expert, with its share of the tokens. */
function expertButton(expert, share, colours, isPicked, pick) {
  const button = make("button", "", { type: "button", title: "Show the tokens of expert " + expert });
  button.append(swatch(expert, colours), " " + expert, make("small", " " + percent(share)));
  button.setAttribute("aria-pressed", String(isPicked));
  button.addEventListener("click", () => pick(expert));
  return button;
}

/** A switch between layers, the first of which is on. */
function layerSwitch(count, choose) {
  return Array.from({ length: count }, (_, index) => {
    const label = make("label", "");
    const radio = make("input", "", { type: "radio", name: "layer", checked: index === 0 });
    radio.addEventListener("change", () => choose(index));
    label.append(radio, " layer " + index);
    return label;
  });
}
`;

/** Their style, on top of the frame's. */
export const TOKEN_STYLE = `
#switch{position:sticky;top:0;background:var(--colour-0);padding:.5rem 0;border-bottom:1px solid var(--colour-3)}
#layers{display:flex;flex-wrap:wrap;gap:.25rem 1rem}#experts{display:flex;flex-wrap:wrap;gap:.25rem;margin-top:.5rem;
max-height:7.5rem;overflow-y:auto}
#experts button{font:inherit;font-size:13px;color:inherit;background:none;border:1px solid var(--colour-3);
border-radius:4px;padding:.1rem .5rem;cursor:pointer}#experts button[aria-pressed=true]{border-color:var(--colour-1)}
.passage{font:14px/1.9 ui-monospace,Menlo,Consolas,"Liberation Mono",monospace;white-space:pre-wrap;
overflow-wrap:anywhere;margin:0;max-width:72rem}
.passage span{padding:.2em 0}.passage .none{color:var(--colour-2)}
.passage .other{background-image:none!important;color:var(--colour-2)}`;

/**
 * The colour of an expert: the theme's curve colours, then hues spaced by the golden angle.
 *
 * @param expert Its number.
 * @returns A CSS colour.
 */
export function expertColour(expert: number): string {
  if (expert < CURVES.length) return CURVES[expert]!.light;
  const hue = Math.round((expert * 137.508) % 360);
  return `hsl(${hue} ${expert % 2 === 0 ? 70 : 50}% ${40 + 10 * (expert % 3)}%)`;
}

/**
 * Writes JSON for a script element, which `</script` in a text would end.
 *
 * @param value What to write.
 * @returns JSON.
 */
export function embedded(value: object): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}
