/** What untyped callers may pass to the training functions. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ConfigError, FileError } from "../../lib/errors.ts";
import type { Device } from "../../lib/autograd/device.ts";
import { exists } from "../../lib/files.ts";
import {
  advanceStage,
  checkMemory,
  checkResumable,
  configHash,
  type ConfigLayer,
  countParameters,
  estimateMemory,
  executedFlops,
  formulaFlops,
  initialStage,
  JsonlSink,
  learningRate,
  memoryLimit,
  type MetricsLine,
  parseConfig,
  resolveConfig,
  RunDirectory,
  type StageObservation,
  type StepMetrics,
  TensorBoardSink,
  train,
  type TrainConfig,
  type TrainEvents,
  truncateMetrics,
} from "../../lib/train/mod.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { openDevice } from "../tensor/open_device.ts";

const CONFIG = parseConfig({ preset: "pico" });

/** A configuration with one key set, whatever its type. */
function withKey(section: keyof TrainConfig, key: string, value: unknown): TrainConfig {
  return { ...CONFIG, [section]: { ...CONFIG[section] as object, [key]: value } };
}

const WRONG: [TrainConfig, string][] = [
  [withKey("model", "layers", NaN), "model.layers is NaN"],
  [withKey("model", "hidden", -16), "model.hidden is -16"],
  [withKey("model", "ffn", "auto"), "model.ffn is missing"],
  [withKey("moe", "experts", 1.5), "moe.experts is 1.5"],
  [withKey("moe", "router", "nearest"), 'moe.router is "nearest"'],
  [{ ...CONFIG, model: undefined } as unknown as TrainConfig, "model.layers is missing"],
];

Deno.test("functions that take a configuration refuse one that `parseConfig()` would not return", () => {
  using folder = new TemporaryFolder();
  const layer = { steps: -1 } as ConfigLayer;
  assertThrows(() => resolveConfig([layer]), ConfigError, "steps is -1");
  for (const [config, words] of WRONG) {
    const uses: Record<string, () => unknown> = {
      countParameters: () => countParameters(config.model, config.moe),
      estimateMemory: () => estimateMemory(config),
      checkMemory: () => checkMemory(config, 2 ** 34),
      configHash: () => configHash(config),
      checkResumable: () => checkResumable(CONFIG, config),
      RunDirectory: () => RunDirectory.create({ ...config, out: `${folder.path}/run` }),
      TensorBoardSink: () => new TensorBoardSink(`${folder.path}/events`, config),
    };
    for (const use of Object.values(uses)) assertThrows(use, ConfigError, words);
  }
  assertThrows(() => memoryLimit(withKey("memory", "limit_gib", -1), 1), ConfigError, "limit_gib");
  assertEquals(Array.from(Deno.readDirSync(folder.path)), []);
});

Deno.test("invalid and out-of-range numbers are named", () => {
  const { model, moe } = CONFIG;
  const schedule = { lr: 1e-3, warmup: 1, steps: 5, final_ratio: 0.1 };
  const work = { sequences: 1, sequence: 8, rows: Array(model.layers).fill(8) };
  const seen: StageObservation = {
    ...{ step: 1, lambda: 1, l1_reg: 1, loss: 1, sparsity: 0, target: 0.5 },
  };
  const uses: [() => unknown, string][] = [
    [() => learningRate(NaN, schedule), "step is NaN"],
    [() => learningRate(1, { ...schedule, lr: NaN }), "lr is NaN"],
    [() => learningRate(1, { ...schedule, steps: -1 }), "steps is -1"],
    [() => formulaFlops(model, moe, 0), "sequence is 0"],
    [() => formulaFlops({ ...model, hidden: 0.5 }, moe, 8), "model.hidden is 0.5"],
    [() => executedFlops(model, moe, { ...work, sequences: NaN }), "work.sequences is NaN"],
    [
      () => executedFlops(model, moe, { ...work, rows: work.rows.map(() => NaN) }),
      "work.rows[0] is NaN",
    ],
    [() => estimateMemory(CONFIG, { limit: NaN }), "limit is NaN"],
    [() => memoryLimit(CONFIG, NaN), "deviceBytes is NaN"],
    [() => advanceStage(initialStage("relu"), { ...seen, loss: NaN }), "loss is NaN"],
    [() => truncateMetrics("none", NaN), "step is NaN"],
    [() => truncateMetrics("none", -1), "step is -1"],
  ];
  for (const [use, words] of uses) assertThrows(use, RangeError, words);
  assertThrows(() => estimateMemory(CONFIG, { device: {} as Device }), TypeError, "as a device");
  assertThrows(() => initialStage("nearest" as "relu"), ConfigError, "router is nearest");
});

/** A run of a few steps on a short text. */
function tinyRun({ path }: TemporaryFolder, steps: number): TrainConfig {
  Deno.writeTextFileSync(`${path}/text.txt`, "The quick brown fox. ".repeat(20));
  return parseConfig({
    preset: "pico",
    steps,
    model: { hidden: 4, heads: 2, groups: 1 },
    data: { paths: [`${path}/text.txt`], batch: 1, sequence: 8, cache: path },
    sample: { tokens: 1 },
    out: `${path}/run`,
  });
}

Deno.test("a refused run leaves nothing on the device and no directory", async () => {
  using folder = new TemporaryFolder();
  using device = await openDevice();
  const config = tinyRun(folder, 1);
  const { model, optimizer } = config;
  // fp32 holds none of these: each is refused once part of the run has been built.
  for (
    const refused of [
      { ...config, model: { ...model, init_std: 1e300 } },
      { ...config, model: { ...model, rope_base: 1e300 } },
      { ...config, optimizer: { ...optimizer, clip: 1e300 } },
    ]
  ) {
    using directory = RunDirectory.create(refused);
    await assertRejects(() => train(refused, { device, directory }), ConfigError, "1e+300");
    assertEquals(device.statistics().inUse, 0);
  }
  assertEquals(exists(config.out!), false);
});

Deno.test("a run uses its configuration as it was at the start", async () => {
  using folder = new TemporaryFolder();
  using device = await openDevice();
  const config = tinyRun(folder, 2);
  using directory = RunDirectory.create(config);
  const given = structuredClone(config);
  const run = train(given, { device, directory });
  Object.assign(given, { steps: 1 });
  Object.assign(given.data.paths, ["none"]);
  assertEquals((await run).step, 2);
});

Deno.test("a closed run directory is not written to", () => {
  using folder = new TemporaryFolder();
  const directory = RunDirectory.create(parseConfig({ out: folder.path }));
  directory[Symbol.dispose]();
  directory[Symbol.dispose]();
  const sample = { step: 1, prompt: "", text: "Late" };
  for (const write of [() => directory.begin(), () => directory.appendSample(sample)]) {
    assertThrows(write, FileError, "it was closed");
  }
  assertEquals([...Deno.readDirSync(folder.path)], []);
});

Deno.test("sinks refuse invalid lines and samples, and everything once closed", () => {
  using folder = new TemporaryFolder();
  const line = { step: 1, valid_loss: 3, valid_bits_per_byte: 4 };
  const sinks = [
    new JsonlSink(`${folder.path}/metrics.jsonl`),
    new TensorBoardSink(`${folder.path}/events`, CONFIG),
  ];
  for (const sink of sinks) {
    // Encoding an infinite step would never end.
    for (const step of [Infinity, -1, 0.5]) {
      assertThrows(() => sink.write({ ...line, step }), TypeError, "no figures of a step");
    }
    const text = { ...line, valid_loss: "3" } as unknown as MetricsLine;
    assertThrows(() => sink.write(text), TypeError, "figures");
    sink[Symbol.dispose]();
    sink[Symbol.dispose]();
    assertThrows(() => sink.write(line), FileError, "it was closed");
  }
});

Deno.test("`JsonlSink` writes only lines that can be read back", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/metrics.jsonl`;
  using sink = new JsonlSink(path);
  for (const line of [undefined, null, 5, {}, { step: 0.5 }]) {
    assertThrows(() => sink.write(line as unknown as MetricsLine), TypeError, path);
  }
  assertEquals(Deno.readTextFileSync(path), "");
});

Deno.test("the callbacks of a run may be methods of a class", async () => {
  using folder = new TemporaryFolder();
  class Events implements TrainEvents {
    readonly #steps: number[] = [];
    onStep({ step }: StepMetrics): void {
      this.#steps.push(step);
    }
    get steps(): readonly number[] {
      return this.#steps;
    }
  }
  const config = tinyRun(folder, 2);
  using device = await openDevice();
  using directory = RunDirectory.create(config);
  const events = Object.assign(new Events(), { device, directory });
  await train(config, events);
  assertEquals(events.steps, [1, 2]);
});
