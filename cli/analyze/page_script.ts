/**
 * Script and style of the page that `analyze` writes.
 *
 * @module
 */

import { TOKEN_SCRIPT, TOKEN_STYLE } from "../shared/token_colours.ts";

/** Colours the tokens by layer, and lists each expert's tokens. */
export const PAGE_SCRIPT: string = TOKEN_SCRIPT + String.raw`
const data = JSON.parse(document.getElementById("routing").textContent);
let layer = 0;
let picked = null;

const passages = data.passages.map((passage) => {
  byId("passages").append(make("h4", passage.title));
  const paragraph = make("p", "", { className: "passage" });
  const spans = passage.tokens.map(([id, text]) => {
    const span = make("span", shownText(text));
    paragraph.append(span);
    return [span, "token " + id];
  });
  byId("passages").append(paragraph);
  return { spans, layers: passage.layers };
});

function show() {
  for (const { spans, layers } of passages) {
    spans.forEach(([span, name], i) => paint(span, layers[layer][i], name, data.colours, picked));
  }
  byId("experts").replaceChildren(...data.shares[layer].map((share, expert) =>
    expertButton(expert, share, data.colours, picked === expert, pick)
  ));
  byId("table").replaceChildren(...data.tokens[layer].map(tokenRow));
}

function pick(expert) {
  picked = picked === expert ? null : expert;
  show();
  byId("experts").children[expert].focus();
}

function tokenRow(tokens, expert) {
  const row = make("tr", "");
  const head = make("th", "", { scope: "row" });
  head.append(swatch(expert, data.colours), " expert " + expert);
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

byId("layers").append(...layerSwitch(data.shares.length, (index) => {
  layer = index;
  show();
}));
show();
`;

/** Its style, on top of the frame's. */
export const PAGE_STYLE: string = `${TOKEN_STYLE}
section{scroll-margin-top:9rem}h3{font-size:1.05rem;margin:1.5rem 0 .25rem}h4{margin:1rem 0 .25rem;font-size:.95rem}
.tokens{white-space:normal;display:flex;flex-wrap:wrap;gap:.1rem .9rem}code{background:var(--colour-3);border-radius:3px;
padding:0 .25rem}`;
