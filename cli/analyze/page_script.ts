/**
 * Script and style of the page that `analyze` writes.
 *
 * @module
 */

/** Colours the tokens by layer, and lists each expert's tokens. */
export const PAGE_SCRIPT = String.raw`
"use strict";
const data = JSON.parse(document.getElementById("routing").textContent);
const byId = (id) => document.getElementById(id);
const MOST_BANDS = 8;
let layer = 0;
let picked = null;

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

function paint(span, gates, name) {
  const shown = bands(gates);
  const stops = shown.map(([expert], i) => {
    const colour = "color-mix(in srgb, " + data.colours[expert] + " 60%, transparent)";
    return colour + " " + 100 * i / shown.length + "% " + 100 * (i + 1) / shown.length + "%";
  });
  span.style.backgroundImage = stops.length === 0 ? "" : "linear-gradient(" + stops + ")";
  span.classList.toggle("none", gates.length === 0);
  span.classList.toggle("other", picked !== null && !gates.some(([expert]) => expert === picked));
  span.title = name + (gates.length === 0
    ? ": no expert"
    : ": " + gates.map(([expert, gate]) => "expert " + expert + " (gate " + gate + ")").join(", "));
}

const passages = data.passages.map((passage) => {
  byId("passages").append(make("h4", passage.title));
  const paragraph = make("p", "", { className: "passage" });
  const spans = passage.tokens.map(([id, text]) => {
    const span = make("span", text === "" ? "·" : text.replaceAll("\n", "⏎\n"));
    paragraph.append(span);
    return [span, "token " + id];
  });
  byId("passages").append(paragraph);
  return { spans, layers: passage.layers };
});

function show() {
  for (const { spans, layers } of passages) {
    spans.forEach(([span, name], i) => paint(span, layers[layer][i], name));
  }
  byId("experts").replaceChildren(...data.shares[layer].map(expertButton));
  byId("table").replaceChildren(...data.tokens[layer].map(tokenRow));
}

function swatch(expert) {
  const mark = make("i", "");
  mark.style.background = data.colours[expert];
  return mark;
}

function percent(share) {
  return (100 * share).toFixed(1) + " %";
}

function expertButton(share, expert) {
  const button = make("button", "", { type: "button", title: "Show the tokens of expert " + expert });
  button.append(swatch(expert), " " + expert, make("small", " " + percent(share)));
  button.setAttribute("aria-pressed", String(picked === expert));
  button.addEventListener("click", () => {
    picked = picked === expert ? null : expert;
    show();
    byId("experts").children[expert].focus();
  });
  return button;
}

function tokenRow(tokens, expert) {
  const row = make("tr", "");
  const head = make("th", "", { scope: "row" });
  head.append(swatch(expert), " expert " + expert);
  const cell = make("td", "", { className: "tokens" });
  for (const [text, probability, used, occurrences] of tokens) {
    const entry = make("span", "", { title: used + " of " + occurrences + " occurrences" });
    entry.append(make("code", text), make("small", " " + probability.toFixed(2)));
    cell.append(entry, " ");
  }
  if (tokens.length === 0) cell.append(make("small", "no token"));
  row.append(head, cell);
  return row;
}

data.shares.forEach((_, index) => {
  const label = make("label", "");
  const radio = make("input", "", { type: "radio", name: "layer", checked: index === 0 });
  radio.addEventListener("change", () => {
    layer = index;
    show();
  });
  label.append(radio, " layer " + index);
  byId("layers").append(label);
});
show();
`;

/** Its style, on top of the frame's. */
export const PAGE_STYLE = `
#switch{position:sticky;top:0;background:var(--colour-0);padding:.5rem 0;border-bottom:1px solid var(--colour-3)}
#layers{display:flex;flex-wrap:wrap;gap:.25rem 1rem}#experts{display:flex;flex-wrap:wrap;gap:.25rem;margin-top:.5rem;
max-height:7.5rem;overflow-y:auto}
#experts button{font:inherit;font-size:13px;color:inherit;background:none;border:1px solid var(--colour-3);
border-radius:4px;padding:.1rem .5rem;cursor:pointer}#experts button[aria-pressed=true]{border-color:var(--colour-1)}
section{scroll-margin-top:9rem}h3{font-size:1.05rem;margin:1.5rem 0 .25rem}h4{margin:1rem 0 .25rem;font-size:.95rem}
.passage{font:14px/1.9 ui-monospace,Menlo,Consolas,"Liberation Mono",monospace;white-space:pre-wrap;
overflow-wrap:anywhere;margin:0;max-width:72rem}
.passage span{padding:.2em 0}.passage .none{color:var(--colour-2)}
.passage .other{background-image:none!important;color:var(--colour-2)}
.tokens{white-space:normal;display:flex;flex-wrap:wrap;gap:.1rem .9rem}code{background:var(--colour-3);border-radius:3px;
padding:0 .25rem}`;
