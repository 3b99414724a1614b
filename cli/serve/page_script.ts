/**
 * Script and style of the page that `serve` offers.
 *
 * @module
 */

import { TOKEN_SCRIPT, TOKEN_STYLE } from "../shared/token_colours.ts";

/** Streams a text, and colours it as it grows. */
export const PAGE_SCRIPT: string = TOKEN_SCRIPT + String.raw`
const model = JSON.parse(byId("model").textContent);
/** Milliseconds between two looks at the experts while a text grows. */
const PAUSE = 700;
let layer = 0;
let picked = null;
/** The text shown: ids of all its tokens, how many are the prompt's, and their experts so far. */
let shown = { ids: [], prompt: 0, text: "", routing: null };
let leave = null;

async function post(path, body, signal) {
  const response = await fetch(path, { method: "POST", body: JSON.stringify(body), signal });
  if (response.ok) return response;
  const { error } = await response.json();
  throw new Error(error.message);
}

/** The messages of a stream, without its end. */
async function* messages(response) {
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      if (event === "data: [DONE]") continue;
      const message = JSON.parse(event.slice("data: ".length));
      if (message.error) throw new Error(message.error.message);
      yield message;
    }
  }
}

function request() {
  const number = (id) => byId(id).value === "" ? null : Number(byId(id).value);
  const stop = byId("stop").value.replaceAll("\\n", "\n");
  return {
    model: model.name,
    prompt: byId("prompt").value,
    max_tokens: number("max_tokens"),
    temperature: number("temperature"),
    top_p: number("top_p"),
    seed: number("seed"),
    stop: stop === "" ? null : stop,
    ...{ echo: true, stream: true, return_token_ids: true },
  };
}

async function complete() {
  const controller = new AbortController();
  leave = () => controller.abort();
  byId("complete").disabled = true;
  byId("cancel").disabled = false;
  const own = shown = { ids: [], prompt: 0, text: "", routing: null };
  const started = performance.now();
  let first = 0;
  let drawn = 0;
  let finish = null;
  byId("status").textContent = "waiting";
  try {
    const response = await post("v1/completions", request(), controller.signal);
    let looked = performance.now();
    for await (const { choices: [choice] } of messages(response)) {
      if (choice.prompt_token_ids) own.prompt = own.ids.push(...choice.prompt_token_ids);
      else first ||= performance.now();
      own.ids.push(...choice.token_ids);
      own.text += choice.text;
      drawn += choice.token_ids.length;
      finish = choice.finish_reason ?? finish;
      byId("status").textContent = drawn + " tokens";
      show();
      if (performance.now() - looked < PAUSE) continue;
      looked = performance.now();
      void route(own);
    }
    const seconds = (performance.now() - first) / 1000;
    byId("status").textContent = drawn + " tokens, the first after " +
      Math.round(first - started) + " ms, then " + ((drawn - 1) / seconds).toFixed(0) +
      " per second; " + (finish === "stop" ? "the text has ended" : "length reached");
  } catch (error) {
    byId("status").textContent = controller.signal.aborted ? drawn + " tokens, stopped" : error.message;
  } finally {
    leave = null;
    byId("complete").disabled = false;
    byId("cancel").disabled = true;
  }
  await route(own);
}

/** Asks for the experts of the tokens so far. */
async function route(own) {
  if (model.layers === 0 || own.ids.length === 0) return;
  try {
    const response = await post("v1/routing", { model: model.name, prompt: own.ids });
    const routing = await response.json();
    if (own !== shown || routing.tokens.length < (own.routing?.tokens.length ?? 0)) return;
    own.routing = routing;
    show();
  } catch (error) {
    byId("status").textContent += "; no experts: " + error.message;
  }
}

/** The routed tokens in their colours, and the text after them. */
function show() {
  const { routing, prompt, text } = shown;
  const spans = [];
  let routed = "";
  for (const [i, { id, text: own }] of (routing?.tokens ?? []).entries()) {
    const span = make("span", shownText(own), { className: i < prompt ? "prompt" : "" });
    paint(span, routing.layers[layer][i], "token " + id, model.colours, picked);
    spans.push(span);
    if (own !== "∎") routed += own;
  }
  // Characters that are not complete yet are written otherwise by their tokens.
  const rest = text.startsWith(routed) ? text.slice(routed.length) : "";
  byId("text").replaceChildren(...spans, rest.replaceAll("\n", "⏎\n"));
  byId("experts").replaceChildren(...shares().map((share, expert) =>
    expertButton(expert, share, model.colours, picked === expert, pick)
  ));
}

/** The share of the tokens that use each expert. */
function shares() {
  const counts = model.colours.map(() => 0);
  const tokens = shown.routing?.layers[layer] ?? [];
  for (const experts of tokens) for (const [expert] of experts) counts[expert]++;
  return counts.map((count) => count / Math.max(1, tokens.length));
}

function pick(expert) {
  picked = picked === expert ? null : expert;
  show();
  byId("experts").children[expert].focus();
}

byId("layers").append(...layerSwitch(model.layers, (index) => {
  layer = index;
  show();
}));
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (leave === null) void complete();
});
byId("cancel").addEventListener("click", () => leave?.());
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
});
show();
`;

/** Its style, on top of the frame's. */
export const PAGE_STYLE: string = `${TOKEN_STYLE}
#form{max-width:72rem}textarea{display:block;width:100%;box-sizing:border-box;margin:.25rem 0 .75rem;resize:vertical;
font:14px/1.5 ui-monospace,Menlo,Consolas,"Liberation Mono",monospace}
textarea,input{color:inherit;background:none;border:1px solid var(--colour-3);border-radius:4px;padding:.35rem .5rem}
#settings input{font:inherit;width:6.5rem}#settings{display:flex;flex-wrap:wrap;gap:.5rem 1.25rem;margin-bottom:.75rem}
#form>button{font:inherit;color:inherit;background:none;border:1px solid var(--colour-2);border-radius:4px;
padding:.35rem 1rem;cursor:pointer}#form>button:disabled{opacity:.4;cursor:default}
#switch{margin:1.25rem 0 .75rem}#text{min-height:3rem}.passage .prompt{border-bottom:2px solid var(--colour-2)}`;
