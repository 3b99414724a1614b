/** Folders that cannot be imported are refused, with their reason, before anything is written. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SafetensorsFile } from "../../lib/checkpoint/safetensors.ts";
import { type TensorEntry, writeSafetensors } from "../../lib/checkpoint/write_safetensors.ts";
import { importModel } from "../../lib/interchange/mod.ts";
import { FIXTURES } from "./transformers.ts";

/** Copies a fixture, lets `damage` at it, and checks how the import fails. */
async function refused(
  fixture: string,
  words: string,
  damage: (folder: string) => void,
  options = {},
): Promise<void> {
  const root = await Deno.makeTempDir();
  const folder = `${root}/model`;
  Deno.mkdirSync(folder);
  for (const { name } of Deno.readDirSync(`${FIXTURES}/${fixture}`)) {
    Deno.copyFileSync(`${FIXTURES}/${fixture}/${name}`, `${folder}/${name}`);
  }
  damage(folder);
  const error = await assertRejects(() => importModel(folder, `${root}/run`, options), Error);
  assert(error.message.includes(words), error.message);
  assert(error.message.startsWith("Cannot"), error.message);
  assertEquals([...Deno.readDirSync(root)].map(({ name }) => name), ["model"]);
  await Deno.remove(root, { recursive: true });
}

function edit(folder: string, name: string, change: (json: Record<string, unknown>) => unknown) {
  const path = `${folder}/${name}`;
  const json = JSON.parse(Deno.readTextFileSync(path));
  Deno.writeTextFileSync(path, JSON.stringify(change(json) ?? json));
}

/** Rewrites the weights of a folder. */
function rewrite(folder: string, change: (entries: TensorEntry[]) => TensorEntry[]): void {
  const path = `${folder}/model.safetensors`;
  const entries: TensorEntry[] = [];
  {
    using file = SafetensorsFile.open(path);
    for (const spec of file.tensors.values()) {
      const bytes = file.read(spec.name);
      entries.push({ ...spec, read: () => bytes });
    }
  }
  Deno.removeSync(path);
  writeSafetensors(path, change(entries), { format: "pt" });
}

const INDEX = "model.safetensors.index.json";
const SHARD = "model-00002-of-00002.safetensors";
type Index = { weight_map: Record<string, unknown> };

const CASES: readonly (readonly [
  what: string,
  fixture: string,
  words: string,
  damage: (folder: string) => void,
])[] = [
  ["a run", "mixtral", "it is the configuration of a run, which needs no import", (folder) => {
    edit(folder, "config.json", () => ({ moe: {}, data: {}, model: {} }));
  }],
  ["a truncated shard", "mixtral", SHARD, (folder) => {
    Deno.truncateSync(`${folder}/${SHARD}`, Deno.statSync(`${folder}/${SHARD}`).size - 8);
  }],
  ["a missing shard", "mixtral", SHARD, (folder) => Deno.removeSync(`${folder}/${SHARD}`)],
  [
    "a path out of the folder",
    "mixtral",
    "expected the name of a .safetensors file",
    (folder) =>
      edit(folder, INDEX, (json) => {
        (json as Index).weight_map["lm_head.weight"] = "../model/model-00001-of-00002.safetensors";
      }),
  ],
  [
    "an absolute path",
    "mixtral",
    "expected the name of a .safetensors file",
    (folder) =>
      edit(folder, INDEX, (json) => {
        (json as Index).weight_map["lm_head.weight"] = "/etc/passwd.safetensors";
      }),
  ],
  [
    "a file that is not a text",
    "mixtral",
    "in 7, expected the name",
    (folder) =>
      edit(folder, INDEX, (json) => {
        (json as Index).weight_map["lm_head.weight"] = 7;
      }),
  ],
  [
    "a tensor in the wrong shard",
    "mixtral",
    "which lacks it",
    (folder) =>
      edit(folder, INDEX, (json) => {
        const map = (json as Index).weight_map;
        map["lm_head.weight"] = Object.values(map).find((file) => file !== map["lm_head.weight"]);
      }),
  ],
  [
    "a tensor that the index leaves out",
    "mixtral",
    "which it does not place there",
    (folder) =>
      edit(folder, INDEX, (json) => {
        delete (json as Index).weight_map["lm_head.weight"];
      }),
  ],
  [
    "an index without a map",
    "mixtral",
    "its weight_map is not a map",
    (folder) => edit(folder, INDEX, () => ({})),
  ],
  [
    "an index that is not JSON",
    "mixtral",
    "it is not JSON",
    (folder) => Deno.writeTextFileSync(`${folder}/${INDEX}`, "{"),
  ],
  [
    "no weights",
    "llama",
    "neither model.safetensors nor",
    (folder) => Deno.removeSync(`${folder}/model.safetensors`),
  ],
  [
    "a missing tensor",
    "llama",
    "it lacks model.norm.weight",
    (folder) =>
      rewrite(folder, (entries) => entries.filter(({ name }) => name !== "model.norm.weight")),
  ],
  [
    "an extra tensor",
    "llama",
    "does not have model.extra",
    (folder) => rewrite(folder, (entries) => [...entries, { ...entries[0]!, name: "model.extra" }]),
  ],
  [
    "a wrong shape",
    "llama",
    "where its config.json says [16]",
    (folder) =>
      rewrite(
        folder,
        (entries) =>
          entries.map((entry) =>
            entry.name === "model.norm.weight" ? { ...entry, shape: [4, 4] } : entry
          ),
      ),
  ],
  [
    "integers",
    "llama",
    "only F32, BF16 and F16 are read",
    (folder) =>
      rewrite(
        folder,
        (entries) =>
          entries.map((entry) =>
            entry.name === "model.norm.weight" ? { ...entry, dtype: "I32" as const } : entry
          ),
      ),
  ],
  ["an unknown type", "llama", "is none of", (folder) => {
    const path = `${folder}/model.safetensors`;
    const bytes = Deno.readFileSync(path);
    const text = new TextDecoder("latin1").decode(bytes).replace('"F32"', '"Q32"');
    Deno.writeFileSync(path, Uint8Array.from(text, (character) => character.charCodeAt(0)));
  }],
  [
    "a value that is not finite",
    "llama",
    "model.norm.weight is not finite",
    (folder) =>
      rewrite(
        folder,
        (entries) =>
          entries.map((entry) =>
            entry.name === "model.norm.weight"
              ? { ...entry, read: () => new Uint8Array(new Float32Array(16).fill(NaN).buffer) }
              : entry
          ),
      ),
  ],
  [
    "a config.json that is not JSON",
    "llama",
    "config.json: it is not JSON",
    (folder) => Deno.writeTextFileSync(`${folder}/config.json`, "{"),
  ],
  ["no config.json", "llama", "config.json", (folder) => Deno.removeSync(`${folder}/config.json`)],
  [
    "no tokenizer",
    "llama",
    "tokenizer.json is missing",
    (folder) => Deno.removeSync(`${folder}/tokenizer.json`),
  ],
  [
    "a tokenizer larger than the model",
    "llama",
    "model.vocabulary is 64",
    (folder) =>
      edit(folder, "tokenizer.json", (json) => {
        (json["model"] as { vocab: Record<string, number> }).vocab["more"] = 64;
      }),
  ],
];

for (const [what, fixture, words, damage] of CASES) {
  Deno.test(`${what} is refused: ${words}`, () => refused(fixture, words, damage));
}

const KEYS: readonly (readonly [key: string, value: unknown, words: string])[] = [
  ["model_type", "gpt2", 'model_type is "gpt2", expected one of llama'],
  ["hidden_act", "gelu", 'hidden_act is "gelu"'],
  ["hidden_size", undefined, "hidden_size is missing"],
  ["num_hidden_layers", 2.5, "num_hidden_layers is 2.5"],
  ["rms_norm_eps", 0, "rms_norm_eps is 0"],
  ["attention_bias", true, "attention_bias is true"],
  ["mlp_bias", "yes", "expected true or false"],
  ["rope_scaling", { rope_type: "llama3", factor: 8 }, 'rope_scaling.rope_type is "llama3"'],
  ["rope_scaling", { type: "linear", factor: 2 }, 'rope_scaling.type is "linear"'],
  ["rope_parameters", { rope_theta: 5 }, "rope_theta is 10000"],
  ["rope_parameters", { partial_rotary_factor: 0.5 }, "partly rotated"],
  ["partial_rotary_factor", 0.25, "partly rotated"],
  ["sliding_window", 32, "sliding_window is 32, shorter than the longest sequence (64)"],
  ["layer_types", ["full_attention", "sliding_attention"], "layer_types"],
  ["quantization_config", { bits: 4 }, "quantization_config"],
  ["residual_multiplier", 2, "residual_multiplier is 2, a key that is not known"],
  ["eos_token_id", null, "eos_token_id is null"],
  ["eos_token_id", 64, "end_of_document is 64"],
];

for (const [key, value, words] of KEYS) {
  Deno.test(`${key} ${JSON.stringify(value)} is refused: ${words}`, () =>
    refused("llama", words, (folder) =>
      edit(folder, "config.json", (json) => {
        json[key] = value;
      })));
}

Deno.test("a window no shorter than the sequence is none", async () => {
  const root = await Deno.makeTempDir();
  await refused("llama", "sequence is 65, expected at most", () => {}, { sequence: 65 });
  const folder = `${root}/model`;
  Deno.mkdirSync(folder);
  for (const { name } of Deno.readDirSync(`${FIXTURES}/llama`)) {
    Deno.copyFileSync(`${FIXTURES}/llama/${name}`, `${folder}/${name}`);
  }
  edit(folder, "config.json", (json) => {
    json["sliding_window"] = 32;
  });
  const { config } = await importModel(folder, `${root}/run`, { sequence: 32 });
  assertEquals(config.data.sequence, 32);
  await Deno.remove(root, { recursive: true });
});
