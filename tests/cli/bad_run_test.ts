import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { listCheckpoints, SafetensorsFile } from "../../lib/train/mod.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { assertRefused, runGenerate, runTrain, snapshot, writeText } from "./refusal.ts";

const NEWEST = "checkpoints/step-000003";

/** How a run is damaged, and words that the one message about it must contain. */
interface Damage {
  readonly name: string;
  readonly damage: (run: string) => void;
  readonly words: readonly string[];
  /** Flags besides --resume. */
  readonly flags?: readonly string[];
  /** Whether `generate` must refuse it too; default true. */
  readonly generate?: boolean;
}

function edit(path: string, change: (bytes: Uint8Array) => Uint8Array): void {
  Deno.writeFileSync(path, change(Deno.readFileSync(path)));
}

function editJson(path: string, change: (value: Record<string, unknown>) => void): void {
  const value = JSON.parse(Deno.readTextFileSync(path));
  change(value);
  Deno.writeTextFileSync(path, JSON.stringify(value));
}

/** Updates the marker, so that the changed files pass for the originals. */
function seal(run: string): void {
  const files = ["model.safetensors", "optimizer.safetensors", "state.json"].map((name) => {
    const bytes = Deno.readFileSync(`${run}/${NEWEST}/${name}`);
    return [name, {
      bytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    }];
  });
  Deno.writeTextFileSync(
    `${run}/${NEWEST}/DONE`,
    JSON.stringify({ files: Object.fromEntries(files) }),
  );
}

/** A change to the state that the marker does not reveal. */
function sealedState(key: string, value: unknown): (run: string) => void {
  return (run) => {
    editJson(`${run}/${NEWEST}/state.json`, (state) => state[key] = value);
    seal(run);
  };
}

/** Overwrites the first element of a tensor in the newest checkpoint. */
function poison(run: string, name: string, value = NaN, file = "model.safetensors"): void {
  const path = `${run}/${NEWEST}/${file}`;
  const bytes = Deno.readFileSync(path);
  let element: number;
  {
    using file = SafetensorsFile.open(path);
    assert(file.tensors.has(name), name);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const { [name]: place } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    element = 8 + length + place.data_offsets[0];
  }
  new DataView(bytes.buffer).setFloat32(element, value, true);
  Deno.writeFileSync(path, bytes);
  seal(run);
}

/** Small enough to copy for every case. */
const SMALL = ["--set=model.hidden=16", "--set=model.ffn=32"];

const BEFORE = "the checkpoint before it is";

const POISONED = [
  "model.layers.1.block_sparse_moe.gate.weight",
  "model.layers.0.block_sparse_moe.experts.3.w2.weight",
  "model.embed_tokens.weight",
] as const;

const DAMAGES: readonly Damage[] = [
  {
    name: "the folder is gone",
    damage: (run) => Deno.removeSync(run, { recursive: true }),
    words: ["no such folder"],
  },
  {
    name: "config.json is gone",
    damage: (run) => Deno.removeSync(`${run}/config.json`),
    words: ["config.json is missing"],
  },
  {
    name: "config.json is cut",
    damage: (run) => edit(`${run}/config.json`, (bytes) => bytes.subarray(0, 100)),
    words: ["config.json is not JSON"],
  },
  {
    name: "config.json has an unknown key",
    damage: (run) => editJson(`${run}/config.json`, (config) => config.stpes = 3),
    words: ["config.json", "did you mean steps?"],
  },
  {
    name: "config.json contradicts the checkpoint",
    damage: (run) =>
      editJson(`${run}/config.json`, (config) => {
        config.model = { ...config.model as object, hidden: 32 };
      }),
    words: [NEWEST],
  },
  {
    name: "no checkpoint was written",
    damage: (run) => Deno.removeSync(`${run}/checkpoints`, { recursive: true }),
    words: ["checkpoints holds no complete one"],
  },
  {
    name: "the weights are cut",
    damage: (run) => edit(`${run}/${NEWEST}/model.safetensors`, (bytes) => bytes.subarray(0, 999)),
    words: ["model.safetensors has 999 bytes", BEFORE, "step-000002"],
  },
  {
    name: "a bit of the weights is flipped",
    damage: (run) =>
      edit(`${run}/${NEWEST}/model.safetensors`, (bytes) => {
        bytes[bytes.length - 9]! ^= 16;
        return bytes;
      }),
    words: ["model.safetensors is not what was written", BEFORE],
  },
  {
    name: "the weights are gone",
    damage: (run) => Deno.removeSync(`${run}/${NEWEST}/model.safetensors`),
    words: ["model.safetensors is missing", BEFORE],
  },
  {
    name: "the marker is garbage",
    damage: (run) => Deno.writeTextFileSync(`${run}/${NEWEST}/DONE`, "null"),
    words: ["marker DONE is damaged", BEFORE],
  },
  {
    name: "the weights are of another program",
    damage: (run) => {
      edit(
        `${run}/${NEWEST}/model.safetensors`,
        () => Uint8Array.of(2, ...Array(7).fill(0), 123, 125),
      );
      seal(run);
    },
    words: ["model.embed_tokens.weight", "does not hold it"],
  },
  {
    name: "the weights are no safetensors",
    damage: (run) => {
      edit(`${run}/${NEWEST}/model.safetensors`, () => new TextEncoder().encode("PK\x03\x04 zip"));
      seal(run);
    },
    words: ["model.safetensors", "header"],
  },
  ...[NaN, Infinity, -Infinity].map((value, i): Damage => ({
    name: `a weight is ${value}`,
    damage: (run) => poison(run, POISONED[i]!, value),
    words: ["model.safetensors", `tensor ${POISONED[i]} is not finite`, String(value), "earlier"],
  })),
  {
    name: "a moment is not finite",
    damage: (run) => poison(run, "lm_head.weight.exp_avg_sq", NaN, "optimizer.safetensors"),
    words: ["optimizer.safetensors", "tensor lm_head.weight.exp_avg_sq is not finite"],
    generate: false,
  },
  {
    name: "the format is newer",
    damage: sealedState("format", 7),
    words: ["state.json", "format 7", "newer"],
  },
  {
    name: "the state is of another step",
    damage: sealedState("step", 2),
    words: ["state.json", "step 2"],
  },
  {
    name: "the state has a wrong type",
    damage: sealedState("lambda", "high"),
    words: ["state.json", "lambda"],
  },
  {
    name: "the place in the text is nonsense",
    damage: sealedState("sampler", null),
    words: ["sampler is damaged"],
    generate: false,
  },
  {
    name: "a line of the figures is broken",
    damage: (run) => edit(`${run}/metrics.jsonl`, (bytes) => bytes.fill(10, 20, 21)),
    words: ["line 1", "metrics.jsonl", "not JSON"],
    generate: false,
  },
  {
    name: "a line of the figures is none",
    damage: (run) => Deno.writeTextFileSync(`${run}/metrics.jsonl`, '{"step":1}\nnull\n'),
    words: ["line 2", "metrics.jsonl"],
    generate: false,
  },
  {
    name: "the model is to be another",
    damage: () => {},
    flags: ["--experts", "4"],
    words: ["moe.experts was 8 and is 4"],
    generate: false,
  },
  {
    name: "the text is to be another",
    damage: () => {},
    flags: ["--data", "elsewhere"],
    words: ["data.paths was", "elsewhere"],
    generate: false,
  },
  {
    name: "fewer steps than were taken",
    damage: () => {},
    flags: ["--steps", "2"],
    words: ["step 2", "already at step 3"],
    generate: false,
  },
  {
    name: "the configuration was changed by hand to one that computes otherwise",
    damage: (run) => changeConfig(run, (config) => config.model!.rope_base = 1e4),
    words: ["step-000003", "another configuration than", "undo what was changed there"],
  },
  {
    name: "the configuration was changed by hand in what only training reads",
    damage: (run) => changeConfig(run, (config) => config.optimizer!.beta1 = 0.5),
    words: ["step-000003", "another configuration than", "undo what was changed there"],
  },
  {
    name: "a regularisation that the run did not have",
    damage: () => {},
    flags: ["--set", "moe.balance=none", "--set", "optimizer.beta1=0.1"],
    words: ['moe.balance was "load" and is "none"', "optimizer.beta1 was 0.9 and is 0.1"],
    generate: false,
  },
  {
    name: "--out with --resume",
    damage: () => {},
    flags: ["--out", "other"],
    words: ["--out cannot go with --resume"],
    generate: false,
  },
];

function changeConfig(
  run: string,
  change: (config: Record<string, Record<string, number>>) => void,
): void {
  const path = `${run}/config.json`;
  const config = JSON.parse(Deno.readTextFileSync(path));
  change(config);
  Deno.writeTextFileSync(path, JSON.stringify(config));
}

function assertFiniteWeights(path: string): void {
  using file = SafetensorsFile.open(path);
  for (const name of file.tensors.keys()) {
    assert(new Float32Array(file.read(name).buffer).every(Number.isFinite), name);
  }
}

/** A folder with a text and a three-step run trained on it, with a checkpoint for each step. */
async function makeRun(folder: string): Promise<string> {
  writeText(folder);
  const run = `${folder}/good`;
  const args = ["--data=text", "--set=checkpoint.every=1", "--set=checkpoint.keep=0"];
  const { code, stderr } = await runTrain(folder, [...SMALL, ...args, "--out=good"]);
  assertEquals(code, 0, stderr);
  return run;
}

function copyRun(from: string, to: string): void {
  Deno.mkdirSync(to);
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) copyRun(`${from}/${name}`, `${to}/${name}`);
    else Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

Deno.test("`train --resume` and `generate` refuse a damaged run and leave it untouched", async (t) => {
  using folder = new TemporaryFolder();
  const good = await makeRun(folder.path);
  const run = `${folder.path}/run`;
  for (const { name, damage, words, flags = [], generate = true } of DAMAGES) {
    await t.step(name, async () => {
      copyRun(good, run);
      damage(run);
      const before = snapshot(folder.path);
      assertRefused(await runTrain(folder.path, ["--resume", "run", ...flags]), ...words);
      assertEquals(snapshot(folder.path), before);
      if (generate) {
        const result = await runGenerate(folder.path, ["--run", "run", "--prompt=a", "--tokens=1"]);
        assertRefused(result);
        assertEquals(snapshot(folder.path), before);
      }
    });
    await Deno.remove(run, { recursive: true }).catch(() => {});
  }
  await Deno.remove(`${folder.path}.cache`, { recursive: true });
});

Deno.test("`train --resume` refuses a missing or changed text, and continues with the original", async () => {
  using folder = new TemporaryFolder();
  const run = await makeRun(folder.path);
  const before = snapshot(run);
  const resume = () => runTrain(folder.path, ["--resume", "good", "--steps", "4"]);
  const file = `${folder.path}/text/0.txt`;
  const text = Deno.readTextFileSync(file);
  Deno.renameSync(`${folder.path}/text`, `${folder.path}/moved`);
  assertRefused(await resume(), `${folder.path}/text`, "no such file or folder");
  Deno.renameSync(`${folder.path}/moved`, `${folder.path}/text`);
  Deno.writeTextFileSync(file, `${text} More.`);
  assertRefused(await resume(), NEWEST, "another text");
  assertEquals(snapshot(run), before);
  Deno.writeTextFileSync(file, text);
  const { code, stderr } = await resume();
  assertEquals(code, 0, stderr);
  await Deno.remove(`${folder.path}.cache`, { recursive: true });
});

Deno.test("a diverging run names step, tensor and checkpoint, and keeps good checkpoints", async (t) => {
  using folder = new TemporaryFolder();
  const run = `${folder.path}/run`;
  await t.step("weights that are finite but too large", async () => {
    copyRun(await makeRun(folder.path), run);
    poison(run, "model.layers.0.input_layernorm.weight", 3e38);
    const resume = () => runTrain(folder.path, ["--resume", "run", "--steps", "5"]);
    // A lower rate would not help: the step fails before any update.
    const words = ["step 4", NEWEST, "resume an earlier checkpoint, like", "step-000002"];
    const message = assertRefused(await resume(), "not finite", ...words);
    assert(!message.includes("last good"), message);
    const result = await runGenerate(folder.path, ["--run", "run", "--prompt=a", "--tokens=9"]);
    assertRefused(result, "Cannot generate token 1 of prompt 1", "logit of token");
    Deno.removeSync(`${run}/${NEWEST}`, { recursive: true });
    const { code, stderr } = await runTrain(folder.path, ["--resume", "run", "--steps", "4"]);
    assertEquals(code, 0, stderr);
    Deno.removeSync(run, { recursive: true });
  });
  const rates: [rate: string, checkpoints: number, ...words: string[]][] = [
    // The first update overflows: its weights are not saved.
    ["1e38", 0, "after step 1", "the weight model.", "there is no checkpoint yet"],
    ["1e30", 1, "step 2", "after", "finite ones", "it comes from", "step-000001", "start again"],
  ];
  for (const [rate, checkpoints, ...words] of rates) {
    await t.step(`--lr ${rate}`, async () => {
      const settings = ["optimizer.clip=0", "schedule.warmup=0", "checkpoint.every=1"];
      const flags = settings.map((setting) => `--set=${setting}`);
      const result = await runTrain(folder.path, [
        ...SMALL,
        ...flags,
        "--set=checkpoint.keep=1",
        "--data=text",
        "--out=run",
        "--steps=9",
        `--lr=${rate}`,
      ]);
      assertRefused(result, "not finite", ...words);
      const saved = listCheckpoints(`${run}/checkpoints`);
      assertEquals(saved.length, checkpoints);
      for (const { path } of saved) assertFiniteWeights(`${path}/model.safetensors`);
      assert(Deno.readTextFileSync(`${run}/metrics.jsonl`).endsWith("}\n"));
      Deno.removeSync(run, { recursive: true });
    });
  }
  await Deno.remove(`${folder.path}.cache`, { recursive: true });
});
