/** Where weights can come from, what is said of them, and what is refused. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { parseTrainFlags } from "../../cli/train/flags.ts";
import { trainRequest } from "../../cli/train/request.ts";
import { Device } from "../../lib/autograd/device.ts";
import { importModel } from "../../lib/interchange/mod.ts";
import { openModel } from "../../lib/model/open_model.ts";
import {
  Checkpoint,
  configHash,
  type ConfigLayer,
  initialStage,
  type TrainConfig,
  writeCheckpoint,
} from "../../lib/train/mod.ts";
import { ConfigError } from "../../lib/errors.ts";
import {
  expectedOf,
  FIXTURES,
  largestDifference,
  logitsOf as promptLogits,
} from "../interchange/transformers.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { linesOf, logitsOf, STILL, tiny, trained } from "./worlds.ts";

const ATTENTION = "model.layers.*.{input_layernorm,post_attention_layernorm}.weight, " +
  "model.layers.*.self_attn.{q_proj,k_proj,v_proj,o_proj}.weight";
const REST = "lm_head.weight";

/** A run's folder as an import makes it: a configuration, and a checkpoint at step 0. */
function importedFrom(run: string, config: TrainConfig, target: string, without = ""): void {
  using checkpoint = Checkpoint.openNewest(`${run}/checkpoints`);
  Deno.mkdirSync(target);
  Deno.writeTextFileSync(`${target}/config.json`, JSON.stringify(config));
  const { model } = checkpoint;
  writeCheckpoint(`${target}/checkpoints`, {
    state: {
      format: 1,
      step: 0,
      tokens: 0,
      lambda: 1e-8,
      stage: initialStage("dense"),
      sampler: null,
      seed: 0,
      config_hash: configHash(config),
      versions: {},
    },
    model: [...model.tensors.values()].filter(({ name }) => name !== without).map((
      { name, dtype, shape },
    ) => ({
      name,
      dtype,
      shape,
      read: () => model.read(name, { dtype, shape }),
    })),
    optimizer: [],
  });
}

Deno.test("a run starts from a run, from one of its checkpoints, or from an imported model", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  const config = tiny(path, "dense", { model: { dtype: "f32" } });
  await trained(config);
  importedFrom(`${path}/dense`, config, `${path}/imported`);
  const last = await logitsOf(`${path}/dense`);
  const middle = await logitsOf(`${path}/dense/checkpoints/step-000002`);
  for (
    const [from, wanted, step] of [
      ["dense", last, 4],
      ["dense/checkpoints/step-000002", middle, 2],
      ["imported", last, 0],
    ] as const
  ) {
    const name = from.replaceAll("/", "-");
    const notices = await trained(
      tiny(path, `from-${name}`, { ...STILL, init: { from: `${path}/${from}` } }),
    );
    assertEquals(await logitsOf(`${path}/from-${name}`), wanted);
    const folderOf = from.includes("step-")
      ? `${path}/${from}`
      : `${path}/${from}/checkpoints/step-00000${step}`;
    assertEquals(linesOf(notices), [
      `Starts from ${folderOf} (router dense, step ${step}); step, optimizer and order of the text ` +
      "are new",
      `  taken   model.{embed_tokens,norm}.weight, ${ATTENTION}, ` +
      `model.layers.*.mlp.{gate_proj,up_proj,down_proj}.weight, ${REST}`,
      "  new     nothing",
      "  left    nothing",
    ]);
  }
});

Deno.test("a run says what was copied, what is new and what was left, and its checkpoints keep it", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  await trained(tiny(path, "dense"));
  const notices = await trained(tiny(path, "moe", {
    steps: 1,
    moe: { router: "sigmoid", experts: 4, active: 2, granularity: 2, shared: 2 },
    init: { from: `${path}/dense`, noise: 0.1, rescale: false },
  }));
  assertEquals(linesOf(notices), [
    `Starts from ${path}/dense/checkpoints/step-000004 (router dense, step 4); step, optimizer and ` +
    "order of the text are new",
    `  taken   model.{embed_tokens,norm}.weight, ${ATTENTION}, ${REST}`,
    "  copied  model.layers.*.mlp.{gate_proj,up_proj,down_proj}.weight into 4 experts each of 2 " +
    "parts, and into the shared ones; noise 0.1, output times 1",
    "  new     model.layers.*.block_sparse_moe.gate.weight, " +
    "model.layers.*.block_sparse_moe.gate.e_score_correction_bias",
    "  left    nothing",
  ]);
  using moe = Checkpoint.openNewest(`${path}/moe/checkpoints`);
  const { init } = moe.state;
  assertEquals(init?.from, `${path}/dense/checkpoints/step-000004`);
  assertEquals([init?.step, init?.scale], [4, [1, 1]]);
  assertMatch(init!.sha256, /^[0-9a-f]{64}$/);
  const again = await trained(tiny(path, "relu", {
    steps: 1,
    moe: { router: "relu", experts: 4, active: 2, granularity: 2, shared: 2 },
    init: { from: `${path}/moe` },
  }));
  assertEquals(linesOf(again).slice(2), [
    "  new     nothing",
    "  left    model.layers.*.block_sparse_moe.gate.e_score_correction_bias",
  ]);
});

Deno.test("a vocabulary may have another padding", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  await trained(tiny(path, "narrow", { model: { vocabulary: 257 } }));
  await trained(tiny(path, "wide", {
    ...STILL,
    model: { vocabulary: 264 },
    init: { from: `${path}/narrow` },
  }));
  await trained(tiny(path, "back", {
    ...STILL,
    model: { vocabulary: 260 },
    init: { from: `${path}/wide` },
  }));
  const narrow = await logitsOf(`${path}/narrow`);
  for (const [name, vocabulary] of [["wide", 264], ["back", 260]] as const) {
    const logits = await logitsOf(`${path}/${name}`);
    const real = logits.filter((_, i) => i % vocabulary < 257);
    assertEquals(real.length, narrow.length);
    assert(real.every((value, i) => Math.abs(value - narrow[i]!) < 1e-5), name);
  }
});

Deno.test("weights that do not fit are refused by name, before anything is written", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  await trained(tiny(path, "dense"));
  await trained(tiny(path, "moe", { moe: { router: "topk", experts: 4 }, steps: 1 }));
  const refused = async (from: string, more: ConfigLayer): Promise<string> => {
    const config = tiny(path, "new", { ...more, init: { from: `${path}/${from}` } });
    const error = await assertRejects(() => trained(config), ConfigError);
    assertEquals(Array.from(Deno.readDirSync(path)).some(({ name }) => name === "new"), false);
    return error.message.replace(`${path}/`, "");
  };
  assertEquals(
    await refused("dense", { data: { tokenizer: "gpt2" } }),
    "Cannot start from dense: its data.tokenizer is byte and the new run's is gpt2, under which the " +
      "embedding's rows would stand for other text",
  );
  assertEquals(
    await refused("dense", { model: { layers: 3 } }),
    "Cannot start from dense: its model.layers is 2 and the new run's is 3, expected the same",
  );
  // These have weights of the same shapes, and read them in another way.
  assertEquals(
    await refused("dense", { model: { heads: 4, groups: 4 } }),
    "Cannot start from dense: its model.heads is 2 and the new run's is 4, expected the same; its " +
      "model.groups is 2 and the new run's is 4, expected the same; its model.head_dim is 8 and the " +
      "new run's is 4, expected the same",
  );
  assertEquals(
    await refused("moe", { moe: { router: "dense" } }),
    "Cannot start from moe: it has 4 experts per layer, of which moe.router dense could keep one; " +
      "choose a router with experts",
  );
  assertEquals(
    await refused("moe", { moe: { router: "topk", experts: 8 } }),
    "Cannot start from moe: its moe.experts is 4 and the new run's is 8, expected the same: only " +
      "dense layers can become other experts",
  );
  assertEquals(
    await refused("dense", { moe: { router: "relu", active: 2, granularity: 2, shared: 1 } }),
    "Cannot start from dense: moe.shared is 1, expected a multiple of moe.granularity (2): shared " +
      "experts are whole copies of its dense layers",
  );
  for (const [key, value] of [["shared_ffn", 8], ["shared_gate", true]] as const) {
    const shared = key === "shared_gate" ? { shared: 1, active: 2 } : {};
    assertMatch(
      await refused("dense", { moe: { router: "relu", ...shared, [key]: value } }),
      new RegExp(`moe.${key} is ${value}, expected to be left out: its dense layers`),
    );
  }
  assertMatch(await refused("nowhere", {}), /^Cannot open the run nowhere: /);
});

Deno.test("a damaged checkpoint, and one that lacks a weight, are refused", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  const config = tiny(path, "dense", { model: { dtype: "f32" } });
  await trained(config);
  const start = (from: string): Promise<string[]> =>
    trained(tiny(path, "new", { init: { from: `${path}/${from}` } }));
  importedFrom(`${path}/dense`, { ...config, seed: 9 }, `${path}/edited`);
  Deno.writeTextFileSync(`${path}/edited/config.json`, JSON.stringify(config));
  await assertRejects(() => start("edited"), Error, "it was written under another configuration");
  const lacking = "model.layers.1.mlp.up_proj.weight";
  importedFrom(`${path}/dense`, config, `${path}/lacking`, lacking);
  await assertRejects(() => start("lacking"), Error, `: it lacks ${lacking}`);
  const weights = `${path}/dense/checkpoints/step-000004/model.safetensors`;
  const bytes = Deno.readFileSync(weights);
  bytes[bytes.length - 1]! ^= 1;
  Deno.writeFileSync(weights, bytes);
  await assertRejects(() => start("dense"), Error, "is not what was written (SHA-256)");
});

Deno.test("an imported model becomes experts with the tokenizer that it brought", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  await importModel(`${FIXTURES}/llama`, `${path}/imported`);
  Deno.writeTextFileSync(`${path}/text.txt`, "The quick brown fox jumps over it. ".repeat(150));
  const flags = [
    ...["--init-from", "imported", "--out", "moe", "--data", "text.txt", "--steps", "1"],
    ...["--router", "topk", "--experts", "4", "--active", "2", "--set", "moe.renormalize=true"],
    ...["--lr", "1e-30", "--batch", "2", "--sequence", "16", "--set", `data.cache=${path}/cache`],
    ...["--set", "validation.every=0", "--set", "sample.tokens=1", "--set", "threads=1"],
  ];
  const { config } = trainRequest(parseTrainFlags(flags), path);
  assertEquals(config.data.tokenizer, "file");
  await trained(config);
  Deno.removeSync(`${path}/imported`, { recursive: true });
  const expected = expectedOf("llama");
  using device = await Device.open({ kind: "cpu", threads: 1 });
  using opened = await openModel(device, `${path}/moe`, { dtype: "f32" });
  assert(
    largestDifference(await promptLogits(device, opened, expected.prompt), expected.logits) < 1e-4,
  );
  assertEquals(opened.tokenizer.decode(expected.greedy), expected.text);
});
