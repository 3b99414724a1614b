import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { CheckpointError, ConfigError, FileError } from "../../lib/errors.ts";
import {
  type CheckpointState,
  checkResumable,
  configHash,
  findRun,
  initialStage,
  parseConfig,
  readMetrics,
  RunDirectory,
  type TrainConfig,
} from "../../lib/train/mod.ts";
import { TemporaryFolder } from "../temporary_folder.ts";

function configIn(folder: TemporaryFolder, input: object = {}): TrainConfig {
  return parseConfig({ preset: "pico", out: `${folder.path}/run`, ...input });
}

function stateAt(step: number, config: TrainConfig): CheckpointState {
  return {
    format: 1,
    step,
    tokens: step,
    lambda: 1,
    stage: initialStage("relu"),
    sampler: null,
    seed: config.seed,
    config_hash: configHash(config),
    versions: {},
  };
}

/** A run saved at steps 1 and 2 that continued to step 3. */
function makeRun(config: TrainConfig): string {
  using directory = RunDirectory.create(config);
  for (const step of [1, 2, 3]) {
    directory.metrics.write({ step, valid_loss: step, valid_bits_per_byte: step });
    directory.appendSample({ step, prompt: "", text: `text ${step}` });
    const contents = { state: stateAt(step, config), model: [], optimizer: [] };
    if (step < 3) directory.writeCheckpoint(contents, 0);
  }
  return directory.path;
}

Deno.test("`RunDirectory.create()` names a new run by date, preset, router, what else it changes, and seed", () => {
  using folder = new TemporaryFolder();
  const options = { parent: folder.path, now: new Date("2026-03-04T05:06:07Z") };
  const inputs = [
    {},
    { moe: { router: "dense" } },
    { seed: 3 },
    {},
    { optimizer: { lr: 3e-3 }, moe: { experts: 16 }, data: { paths: ["a"], cache: "/b/c" } },
    {
      steps: 1000,
      moe: { balance: "plain" },
      model: { init_std: 0.1 / 3 },
      optimizer: { clip: 0 },
    },
  ];
  const names = inputs.map((input) => {
    using directory = RunDirectory.create(parseConfig(input), options);
    directory.begin();
    return directory.path.slice(folder.path.length);
  });
  assertEquals(names, [
    "/runs/2026-03-04-050607-nano-relu-e8k1g1-s0",
    "/runs/2026-03-04-050607-nano-dense-s0",
    "/runs/2026-03-04-050607-nano-relu-e8k1g1-s3",
    "/runs/2026-03-04-050607-nano-relu-e8k1g1-s0-2",
    "/runs/2026-03-04-050607-nano-relu-e16k1g1-lr0.003-s0",
    // Three settings at most.
    "/runs/2026-03-04-050607-nano-relu-e8k1g1-steps1000-init_std0.0333-balanceplain-s0",
  ]);
});

Deno.test("`RunDirectory.create()` writes the resolved configuration", () => {
  using folder = new TemporaryFolder();
  const config = configIn(folder);
  using directory = RunDirectory.create(config);
  directory.begin();
  const written = JSON.parse(Deno.readTextFileSync(`${directory.path}/config.json`));
  assertEquals(parseConfig(written), config);
});

Deno.test("`RunDirectory.create()` leaves nothing behind if the run does not begin", () => {
  using folder = new TemporaryFolder();
  const names = (): string[] => Array.from(Deno.readDirSync(folder.path), ({ name }) => name);
  RunDirectory.create(configIn(folder, { out: `${folder.path}/a/b` }))[Symbol.dispose]();
  RunDirectory.create(configIn(folder, { out: null }), { parent: folder.path })[Symbol.dispose]();
  assertEquals(names(), []);
  Deno.mkdirSync(`${folder.path}/mine`);
  RunDirectory.create(configIn(folder, { out: `${folder.path}/mine` }))[Symbol.dispose]();
  assertEquals(names(), ["mine"]);
  assertEquals(Array.from(Deno.readDirSync(`${folder.path}/mine`)), []);
});

Deno.test("`RunDirectory.create()` names a folder that cannot be created", () => {
  using folder = new TemporaryFolder();
  Deno.writeTextFileSync(`${folder.path}/file`, "");
  for (const out of [`${folder.path}/file/run`, `${folder.path}/file`]) {
    const error = assertThrows(() => RunDirectory.create(configIn(folder, { out })), FileError);
    assertEquals(error.path, out);
    assertMatch(
      error.message,
      /: (a part of its path is not a folder|there is something else of that name)$/,
    );
  }
  assertEquals(Deno.readTextFileSync(`${folder.path}/file`), "");
});

Deno.test("`RunDirectory.create()` refuses a directory with anything in it", () => {
  using folder = new TemporaryFolder();
  const config = configIn(folder);
  makeRun(config);
  assertThrows(() => RunDirectory.create(config), ConfigError, "it holds one; resume it");
  Deno.removeSync(`${config.out}/checkpoints`, { recursive: true });
  assertThrows(() => RunDirectory.create(config), ConfigError, "ended before its first checkpoint");
  Deno.mkdirSync(`${folder.path}/other`);
  Deno.writeTextFileSync(`${folder.path}/other/thesis.txt`, "precious");
  const other = { ...config, out: `${folder.path}/other` };
  assertThrows(() => RunDirectory.create(other), ConfigError, "not empty (thesis.txt)");
  assertEquals(Array.from(Deno.readDirSync(other.out)).length, 1);
});

Deno.test("`RunDirectory.resume()` drops what came after the newest checkpoint", () => {
  using folder = new TemporaryFolder();
  const config = configIn(folder);
  const path = makeRun(config);
  const { directory, checkpoint } = RunDirectory.resume(findRun(path), config);
  using _directory = directory;
  using _checkpoint = checkpoint;
  assertEquals(readMetrics(`${path}/metrics.jsonl`).length, 3, "nothing is dropped yet");
  directory.begin();
  assertEquals(checkpoint.state.step, 2);
  assertEquals(readMetrics(`${path}/metrics.jsonl`).map(({ step }) => step), [1, 2]);
  assert(!Deno.readTextFileSync(`${path}/samples.txt`).includes("text 3"));
  directory.metrics.write({ step: 3, valid_loss: 9, valid_bits_per_byte: 9 });
  assertEquals(readMetrics(`${path}/metrics.jsonl`).length, 3);
});

Deno.test("`RunDirectory.resume()` continues from a named older checkpoint", () => {
  using folder = new TemporaryFolder();
  const config = configIn(folder);
  const path = makeRun(config);
  const run = findRun(`${path}/checkpoints/step-000001/`);
  assertEquals(run.path, path);
  const { directory, checkpoint } = RunDirectory.resume(run, { ...config, steps: 5000 });
  using _directory = directory;
  using _checkpoint = checkpoint;
  directory.begin();
  assertEquals(checkpoint.state.step, 1);
  assertEquals(readMetrics(`${path}/metrics.jsonl`).map(({ step }) => step), [1]);
  assertEquals(Array.from(Deno.readDirSync(`${path}/checkpoints`)).length, 1);
  assertEquals(findRun(path).config.steps, 5000);
});

Deno.test("`RunDirectory.resume()` changes nothing if it fails", () => {
  using folder = new TemporaryFolder();
  const config = configIn(folder);
  const path = makeRun(config);
  const before = Deno.readTextFileSync(`${path}/metrics.jsonl`);
  const other = parseConfig({ ...config, seed: 1 });
  assertThrows(() => RunDirectory.resume(findRun(path), other), ConfigError, "seed was 0 and is 1");
  // A configuration edited by hand passes for the run's, but not for the checkpoint's.
  Deno.writeTextFileSync(`${path}/config.json`, JSON.stringify(other));
  assertThrows(
    () => RunDirectory.resume(findRun(path), other),
    CheckpointError,
    "written under another configuration",
  );
  Deno.truncateSync(`${path}/checkpoints/step-000002/model.safetensors`, 1);
  assertThrows(() => RunDirectory.resume(findRun(path), other), CheckpointError, "step-000001");
  assertEquals(Deno.readTextFileSync(`${path}/metrics.jsonl`), before);
});

Deno.test("`RunDirectory.resume()` accepts checkpoints of versions that hashed fewer keys", () => {
  using folder = new TemporaryFolder();
  const config = configIn(folder);
  const path = makeRun(config);
  {
    const { directory, checkpoint } = RunDirectory.resume(findRun(path), config);
    using _directory = directory;
    using _checkpoint = checkpoint;
    // What such a version wrote for this configuration, except for its folder.
    const config_hash = "239a0933a7df2f0853a180e063d4df677bb5b0bdb462a81343ec8ac2e25b8273";
    const state = { ...stateAt(4, config), config_hash };
    directory.writeCheckpoint({ state, model: [], optimizer: [] }, 0);
  }
  const { directory, checkpoint } = RunDirectory.resume(findRun(path), config);
  using _directory = directory;
  using _checkpoint = checkpoint;
  assertEquals(checkpoint.state.step, 4);
});

Deno.test("`RunDirectory` locks out a second process, and admits the next one", async () => {
  using folder = new TemporaryFolder();
  const config = configIn(folder);
  const path = makeRun(config);
  const script = `
    import { findRun, RunDirectory } from "${new URL("../../lib/train/mod.ts", import.meta.url)}";
    try {
      const run = findRun(${JSON.stringify(path)});
      RunDirectory.resume(run, run.config);
      console.log("in");
    } catch (error) {
      console.log(error.message);
    }`;
  const second = async (): Promise<string> => {
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const file = `${folder.path}/second.ts`;
    Deno.writeTextFileSync(file, script);
    const args = ["run", "-A", "--no-lock", "--config", config, file];
    const { stdout } = await new Deno.Command(Deno.execPath(), { args }).output();
    return new TextDecoder().decode(stdout).trim();
  };
  {
    const { directory, checkpoint } = RunDirectory.resume(findRun(path), config);
    using _directory = directory;
    using _checkpoint = checkpoint;
    assertMatch(await second(), new RegExp(`process ${Deno.pid} is training in it`));
  }
  // The child exits without releasing its lock, which must not matter.
  assertEquals(await second(), "in");
  assertEquals(await second(), "in");
});

Deno.test("`findRun()` says what is missing", () => {
  using folder = new TemporaryFolder();
  assertThrows(() => findRun(folder.path), ConfigError, "it is not a run directory, config.json");
  Deno.writeTextFileSync(`${folder.path}/config.json`, '{"model_type": "llama", "vocab_size": 8}');
  const { message } = assertThrows(() => findRun(folder.path), ConfigError, '(model_type "llama")');
  assertMatch(message, /make one of it with `deno task convert import .* --out RUN`$/);
  assertThrows(() => findRun(`${folder.path}/none`), ConfigError, "there is no such folder");
  Deno.writeTextFileSync(`${folder.path}/config.json`, '{"steps": ');
  assertThrows(() => findRun(folder.path), ConfigError, `${folder.path}/config.json is not JSON`);
  Deno.writeTextFileSync(`${folder.path}/config.json`, '{"steps": 0}');
  assertThrows(() => findRun(folder.path), ConfigError, `Cannot use ${folder.path}/config.json`);
});

Deno.test("`checkResumable()` lets steps, learning rate and intervals change, and nothing else", () => {
  const saved = parseConfig({});
  checkResumable(
    saved,
    parseConfig({
      steps: 9,
      optimizer: { lr: 1 },
      checkpoint: { every: 7 },
      threads: 2,
      log: { tensorboard: true },
    }),
  );
  const fixed: Partial<Record<keyof TrainConfig, unknown>>[] = [
    { model: { layers: 3 } },
    { data: { batch: 8 } },
    { moe: { experts: 4 } },
    { moe: { balance: "none" } },
    { moe: { alpha: 5 } },
    { moe: { lambda0: 1e-7 } },
    { moe: { lambda_ceiling: 5 } },
    { optimizer: { beta1: 0.5 } },
    { optimizer: { weight_decay: 0 } },
    { optimizer: { clip: 2 } },
    { validation: { batches: 3 } },
    { seed: 4 },
  ];
  for (const input of fixed) {
    const name = JSON.stringify(input);
    assertThrows(() => checkResumable(saved, parseConfig(input)), ConfigError, "was", name);
    assert(configHash(saved) !== configHash(parseConfig(input)), name);
  }
  for (const input of [{ preset: "nano", out: "other" }, { ...saved, preset: "tiny" as const }]) {
    assertThrows(() => checkResumable(saved, parseConfig(input)), ConfigError, "was");
  }
  // An imported model's type is open until a run begins.
  assertThrows(
    () => checkResumable(saved, parseConfig({ model: { dtype: "f32" } })),
    ConfigError,
    "start one from its weights with --init-from",
  );
  assertEquals(configHash(saved), configHash(parseConfig({ steps: 9 })));
  assert(configHash(saved) !== configHash(parseConfig({ seed: 9 })));
});
