/**
 * Exports a run of each form with what this project computes of it, for `check_exports.py`:
 *
 *     deno run -A tests/interchange/write_exports.ts FOLDER
 */
import { exportModel } from "../../lib/interchange/mod.ts";
import { openModel } from "../../lib/model/open_model.ts";
import { Device } from "../../mod.ts";
import { configOf, RUNS, writeRun } from "./random_runs.ts";
import { greedyOf, logitsOf } from "./transformers.ts";

const PROMPT = [256, 84, 104, 101, 32, 112, 195, 169, 10, 0];
const TEXTS = ["The people", " café\n\n", "🙂 don't 12345  x"];

const [folder] = Deno.args;
if (folder === undefined) throw new TypeError("Give the folder to write to");
using device = await Device.open({ kind: "cpu" });
for (const [name, changes] of [...Object.entries(RUNS), ["gpt2", RUNS["topk"]!] as const]) {
  const data = name === "gpt2" ? { tokenizer: "gpt2" } : {};
  const run = `${folder}/runs/${name}`;
  writeRun(device, configOf(changes!, run, data));
  const { family, needsTrust } = await exportModel(run, `${folder}/${name}`);
  using opened = await openModel(device, run);
  const logits = await logitsOf(device, opened, PROMPT);
  const greedy = await greedyOf(device, opened, PROMPT, 12);
  const { tokenizer } = opened;
  const expected = {
    needsTrust,
    prompt: PROMPT,
    logits: logits.map((row) => [...row]),
    greedy,
    text: tokenizer.decode(greedy),
    texts: TEXTS.map((text) => ({ text, ids: [...tokenizer.encode(text)] })),
  };
  Deno.writeTextFileSync(`${folder}/${name}.expected.json`, JSON.stringify(expected));
  console.log(`${name}: ${family}`);
}
