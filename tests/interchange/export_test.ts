/** Exported runs have the weights that their families expect, and come back unchanged. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { SafetensorsFile } from "../../lib/checkpoint/safetensors.ts";
import { ByteTokenizer } from "../../lib/data/mod.ts";
import { describeTokenizerFile } from "../../lib/data/tokenizer/tokenizer_file.ts";
import { openTokenizer } from "../../lib/data/tokenizer/open_tokenizer.ts";
import { ConfigError } from "../../lib/errors.ts";
import { exportForm } from "../../lib/interchange/export_form.ts";
import { modelCard } from "../../lib/interchange/model_card.ts";
import { exportModel, importModel } from "../../lib/interchange/mod.ts";
import { openModel } from "../../lib/model/open_model.ts";
import { Device } from "../../mod.ts";
import { configOf, RUNS, writeRun } from "./random_runs.ts";
import { FIXTURES, logitsOf } from "./transformers.ts";

const PROMPT = [256, 84, 104, 101, 32, 112];
const device = await Device.open({ kind: "cpu" });
const root = await Deno.makeTempDir();

addEventListener("unload", () => {
  device[Symbol.dispose]();
  Deno.removeSync(root, { recursive: true });
});

const made = new Map<string, ReturnType<typeof exportRun>>();

/** Exports a run, once, and lists its weights' names and shapes. */
function exported(name: string): ReturnType<typeof exportRun> {
  if (!made.has(name)) made.set(name, exportRun(name));
  return made.get(name)!;
}

async function exportRun(name: string) {
  const run = `${root}/${name}`;
  const out = `${root}/${name}-exported`;
  writeRun(device, configOf(RUNS[name]!, run));
  await exportModel(run, out);
  using file = SafetensorsFile.open(`${out}/model.safetensors`);
  const config = JSON.parse(Deno.readTextFileSync(`${out}/config.json`));
  return { run, out, config, tensors: new Map(file.tensors) };
}

/** The names in a fixture that transformers wrote. */
function namesOf(name: string): string[] {
  const folder = `${FIXTURES}/${name}`;
  const shards = [...Deno.readDirSync(folder)].filter((file) => file.name.endsWith(".safetensors"));
  return shards.flatMap((shard) => {
    using file = SafetensorsFile.open(`${folder}/${shard.name}`);
    return [...file.tensors.keys()];
  });
}

/** The fixture of the same sizes, and how its names differ from an export's. */
const LIKE: Readonly<Record<string, { fixture: string; type: string; layer?: string }>> = {
  dense: { fixture: "llama", type: "llama" },
  "topk-renormalized": { fixture: "mixtral", type: "mixtral" },
  // The fixture's layer 0 is dense, and it has biases.
  topk: { fixture: "qwen2-moe", type: "qwen2_moe", layer: "model.layers.1." },
  "topk-shared": { fixture: "qwen2-moe", type: "qwen2_moe", layer: "model.layers.1." },
  relu: { fixture: "mixtral", type: "mixtral" },
};

for (const [name, { fixture, type, layer = "" }] of Object.entries(LIKE)) {
  Deno.test(`a run of ${name} is exported with the weights of ${type}`, async () => {
    const { config, tensors } = await exported(name);
    assertEquals(config.model_type, type);
    // The fixtures have four experts.
    const comparable = (names: Iterable<string>) =>
      [...names].filter((key) => key.startsWith(layer) && !key.endsWith(".bias"))
        .filter((key) => !/experts\.[4-9]/.test(key)).sort();
    assertEquals(comparable(tensors.keys()), comparable(namesOf(fixture)));
    const width = config.moe_intermediate_size ?? config.intermediate_size;
    const experts = [...tensors].filter(([key]) => /s\.1\..*s\.\d+\.(w1|gate_proj)/.test(key));
    assertEquals(experts.length, config.num_experts ?? config.num_local_experts ?? 0);
    for (const [, { shape }] of experts) assertEquals(shape, [width, 16]);
    assertEquals(tensors.get("lm_head.weight")?.shape, [257, 16]);
  });
}

for (const name of Object.keys(RUNS)) {
  Deno.test(`a run of ${name} comes back with identical logits`, async () => {
    const { run, out } = await exported(name);
    const again = `${root}/${name}-again`;
    await importModel(out, again);
    using first = await openModel(device, run);
    using second = await openModel(device, again, { dtype: "f32" });
    assertEquals(
      await logitsOf(device, second, PROMPT),
      await logitsOf(device, first, PROMPT),
    );
    const text = "née\n";
    assertEquals(second.tokenizer.encode(text), first.tokenizer.encode(text));
    assertEquals(second.tokenizer.endOfDocument, first.tokenizer.endOfDocument);
  });
}

Deno.test("a model of ReLU routing cannot be taken for Mixtral", async () => {
  const { out: path, config } = await exported("relu");
  assertEquals(config.architectures, ["RemoeForCausalLM"]);
  assertEquals(config.auto_map, { AutoModelForCausalLM: "modeling_remoe.RemoeForCausalLM" });
  assert(config.num_experts_per_tok > config.num_local_experts, "Mixtral's router would run");
  assert(Deno.readTextFileSync(`${path}/modeling_remoe.py`).includes("class RemoeForCausalLM"));
  const card = Deno.readTextFileSync(`${path}/README.md`);
  assert(card.includes("trust_remote_code=True"));
});

const REFUSED: readonly (readonly [moe: object, words: string])[] = [
  [{ router: "sigmoid" }, "sigmoid scores"],
  [{ router: "hash" }, "token's id"],
  [{ router: "lory" }, "merges experts"],
  [{ router: "sparsemixer" }, "masked softmaxes"],
  [{ router: "expert-choice" }, "tokens after it"],
  [{ router: "topk", gate_scale: 2 }, "gate_scale is 2"],
  [{ router: "relu", dense_layers: [0] }, "dense_layers is [0]"],
  [{ router: "relu", shared_ffn: 8, shared_gate: true }, "no gate of shared experts"],
];

for (const [moe, words] of REFUSED) {
  Deno.test(`${JSON.stringify(moe)} has no form: ${words}`, () => {
    assertThrows(() => exportForm(configOf({ moe }, root)), ConfigError, words);
  });
}

Deno.test("the tokenizer files of byte and gpt2 encode as the tokenizers do", async () => {
  for (const name of ["byte", "gpt2"] as const) {
    const run = await Deno.makeTempDir({ dir: root });
    writeRun(device, configOf(RUNS["dense"]!, run, { tokenizer: name }));
    await exportModel(run, `${run}-out`);
    const own = name === "byte" ? new ByteTokenizer() : await openTokenizer(name);
    const file = describeTokenizerFile(`${run}-out/tokenizer.json`, {
      end_of_document: own.endOfDocument,
      begin_of_document: null,
    });
    assertEquals(file.vocabulary, own.vocabularySize);
    const exported = await openTokenizer("file", file);
    for (const text of ["The people of Ægypt", "  12345\n\tdon't  🙂", "日本語 naïve", ""]) {
      assertEquals(exported.encode(text), own.encode(text), text);
      assertEquals(exported.decode(own.encode(text)), text);
    }
  }
});

Deno.test("a model card says nothing of the folders of the machine", () => {
  const config = configOf(RUNS["dense"]!, "/secret/run", { paths: ["/secret/books"] });
  const card = modelCard({
    path: root,
    config: { ...config, init: { ...config.init, from: "/secret/base" } },
    form: exportForm(config),
    ...{ step: 7, tokens: 2_500_000 },
  });
  assert(!card.includes("secret"), card);
  for (const words of ["| Text | books |", "7, 2.5M tokens", `"from": "base"`, "Llama"]) {
    assert(card.includes(words), words);
  }
});

Deno.test("an export goes only into an empty folder", async () => {
  const run = await Deno.makeTempDir({ dir: root });
  writeRun(device, configOf(RUNS["dense"]!, run));
  const out = await Deno.makeTempDir({ dir: root });
  Deno.writeTextFileSync(`${out}/note`, "mine");
  await assertRejects(() => exportModel(run, out), ConfigError, "not empty (note)");
  assertEquals([...Deno.readDirSync(out)].length, 1);
});
