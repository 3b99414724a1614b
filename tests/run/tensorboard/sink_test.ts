import { assert, assertEquals, assertFalse } from "@std/assert";
import {
  configHash,
  findRun,
  initialStage,
  parseConfig,
  RunDirectory,
  type StepMetrics,
  TensorBoardSink,
} from "../../../lib/train/mod.ts";
import { ROUTERS } from "../../../lib/moe/routers.ts";
import { STEP_FIGURES, type StepFigure } from "../../../lib/run/metrics_line.ts";
import { truncateEvents } from "../../../lib/run/tensorboard/event_file.ts";
import { stepScalars } from "../../../lib/run/tensorboard/tags.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";
import { eventPaths, type ReadEvent, readEvents } from "./read_events.ts";

const CONFIG = parseConfig({ preset: "pico", log: { tensorboard: true } });
const now = (): number => 1_700_000_000_250;

function metricsAt(step: number): StepMetrics {
  return {
    step,
    loss: 2.5,
    lr: 1e-3,
    grad_norm: Infinity,
    sparsity: 0.875,
    sparsity_per_layer: [0.75, 1],
    lambda: 2 ** -20,
    l1_reg: 0.25,
    expert_load: [[0.5, 0.25, 0.25, 0], [0, 0, 1, 0]],
    tokens_without_expert: 3,
    idle_experts: 4,
    closed_layers: 1,
    stage: "sparse",
    dtype: "f32",
    tokens: 4096 * step,
    tokens_per_second: 1000,
    gflops: 10,
    gflops_executed: 20,
    ms: 4096,
    memory_bytes: 2 ** 20,
  };
}

function scalarsOf(events: readonly ReadEvent[], step: number): Record<string, number> {
  const values = events.filter((event) => event.step === step).flatMap(({ values }) => values);
  return Object.fromEntries(
    values.flatMap(({ tag, scalar }) => scalar === undefined ? [] : [[tag, scalar]]),
  );
}

function stepsOf(folder: string, tag = "loss/train"): number[] {
  return eventPaths(folder).flatMap(readEvents)
    .filter(({ values }) => values.some((value) => value.tag === tag))
    .map(({ step }) => step);
}

Deno.test("`TensorBoardSink` writes version, start, configuration, metrics, load and samples", () => {
  using folder = new TemporaryFolder();
  using sink = new TensorBoardSink(folder.path, CONFIG, { now });
  sink.write(metricsAt(1));
  sink.writeSample({ step: 1, prompt: "", text: "# one\n  two \ud800" });
  sink.write(metricsAt(70_000));
  const [path] = eventPaths(folder.path);
  assertEquals(path, `${folder.path}/events.out.tfevents.1700000000.remoe`);
  const events = readEvents(path!);
  assert(events.every(({ seconds }) => seconds === 1_700_000_000.25));
  assertEquals([events[0]?.version, events[0]?.step], ["brain.Event:2", 0]);
  assertEquals([events[1]?.starts, events[1]?.step], [true, 1]);
  const config = events[2]!.values[0]!;
  assertEquals(config.tag, "config");
  assertEquals(JSON.parse(config.text!), CONFIG);
  assertEquals(scalarsOf(events, 1), {
    "loss/train": 2.5,
    "optimizer/lr": Math.fround(1e-3),
    "optimizer/grad_norm": Infinity,
    "sparsity/mean": 0.875,
    "sparsity/layer_00": 0.75,
    "sparsity/layer_01": 1,
    "router/tokens_without_expert": 3,
    "router/idle_experts": 4,
    "router/closed_layers": 1,
    "expert_load_max/layer_00": 2,
    "expert_load_max/layer_01": 4,
    "router/lambda": 2 ** -20,
    "router/l1_reg": 0.25,
    "speed/tokens_per_second": 1000,
    "speed/gflops": 10,
    "speed/gflops_executed": 20,
    "speed/step_ms": 4096,
    "memory/bytes": 2 ** 20,
  });
  const load = events.flatMap(({ values }) => values)
    .filter(({ tag }) => tag === "expert_load/layer_01");
  assertEquals(load.length, 2);
  assertEquals([load[0]?.buckets, load[0]?.limits], [[0, 0, 1, 0], [0.5, 1.5, 2.5, 3.5]]);
  const sample = events.flatMap(({ values }) => values).find(({ tag }) => tag === "sample");
  assertEquals(sample?.text, "    # one\n      two \ufffd");
  // Units are written once: readers use a tag's first description.
  const described = events.flatMap(({ values }) => values)
    .filter(({ tag, description }) => tag === "loss/train" && description !== undefined);
  assertEquals(described.map(({ description }) => description), [
    "Language-model loss, nats per token",
  ]);
});

Deno.test("TensorBoard shows every scalar of a step", () => {
  // Every metric except the running counter, each with a distinct value.
  const figures = STEP_FIGURES.filter((name) => name !== "tokens");
  const values = figures.map((name, i): [StepFigure, number] => [name, 1000 + i]);
  const metrics: StepMetrics = { ...metricsAt(1), ...Object.fromEntries(values) };
  const shown = new Set(stepScalars(metrics, ROUTERS.relu).map(({ value }) => value));
  assertEquals(values.filter(([, value]) => !shown.has(value)), []);
});

Deno.test("TensorBoard shows the z-loss of a router that has one", () => {
  const tags = (metrics: StepMetrics): string[] =>
    stepScalars(metrics, ROUTERS.topk).filter(({ value }) => value === 12.5).map(({ tag }) => tag);
  assertEquals(tags({ ...metricsAt(1), z_loss: 12.5 }), ["router/z_loss"]);
  assertEquals(tags(metricsAt(1)), []);
});

Deno.test("`TensorBoardSink` writes validations by domain", () => {
  using folder = new TemporaryFolder();
  using sink = new TensorBoardSink(folder.path, CONFIG);
  sink.write({
    step: 50,
    valid_loss: 1.5,
    valid_bits_per_byte: 2,
    valid_loss_by_domain: { books: 1, "c/c++": 2, "red\x1b\n": 3 },
    valid_bits_per_byte_by_domain: { books: 1.25, "c/c++": 2.75 },
  });
  assertEquals(scalarsOf(readEvents(eventPaths(folder.path)[0]!), 50), {
    "loss/validation": 1.5,
    "bits_per_byte/validation": 2,
    "loss/validation/books": 1,
    "loss/validation/c/c++": 2,
    "loss/validation/red\\u001b\\u000a": 3,
    "bits_per_byte/validation/books": 1.25,
    "bits_per_byte/validation/c/c++": 2.75,
  });
});

Deno.test("`TensorBoardSink` writes flips, in total and by layer", () => {
  using folder = new TemporaryFolder();
  using sink = new TensorBoardSink(folder.path, CONFIG);
  sink.write({ step: 20, flip_rate: 0.25, flip_count: 2, flip_rate_per_layer: [0.125, 0.375] });
  assertEquals(scalarsOf(readEvents(eventPaths(folder.path)[0]!), 20), {
    "flips/rate": 0.25,
    "flips/count": 2,
    "flips/layer_00": 0.125,
    "flips/layer_01": 0.375,
  });
});

Deno.test("`TensorBoardSink` omits metrics that a router lacks", () => {
  for (const router of ["dense", "topk"] as const) {
    using folder = new TemporaryFolder();
    using sink = new TensorBoardSink(folder.path, parseConfig({ moe: { router } }));
    sink.write(metricsAt(1));
    const events = readEvents(eventPaths(folder.path)[0]!);
    const tags = events.flatMap(({ values }) => values.map(({ tag }) => tag));
    assert(tags.includes("loss/train"));
    assertFalse(tags.includes("router/lambda"));
    assertEquals(tags.includes("router/balance_loss"), router === "topk");
    assertEquals(tags.includes("sparsity/mean"), router === "topk");
    assertEquals(tags.includes("expert_load/layer_00"), router === "topk");
  }
});

Deno.test("`TensorBoardSink` shows weights, not sparsity, where experts are merged", () => {
  using folder = new TemporaryFolder();
  using sink = new TensorBoardSink(folder.path, parseConfig({ moe: { router: "lory" } }));
  sink.write({ ...metricsAt(1), loss_causal: 3, loss_noncausal: 2 });
  const losses = { valid_loss_causal: 3, valid_loss_noncausal: 2, valid_loss_later: 3 };
  sink.write({ step: 1, valid_loss: 3, valid_bits_per_byte: 4, ...losses });
  const events = readEvents(eventPaths(folder.path)[0]!);
  const tags = events.flatMap(({ values }) => values.map(({ tag }) => tag));
  for (const side of ["train", "validation"]) {
    assert(tags.includes(`loss/${side}_causal`) && tags.includes(`loss/${side}_noncausal`));
  }
  assert(tags.includes("loss/validation_later"));
  assert(tags.includes("expert_load/layer_00") && tags.includes("expert_load_max/layer_00"));
  assertFalse(tags.some((tag) => /sparsity|idle|closed|without/.test(tag)));
});

Deno.test("`TensorBoardSink` writes no more histograms than TensorBoard keeps", () => {
  using folder = new TemporaryFolder();
  using sink = new TensorBoardSink(folder.path, parseConfig({ ...CONFIG, steps: 1400 }));
  for (let step = 1; step <= 10; step++) sink.write(metricsAt(step));
  assertEquals(stepsOf(folder.path, "expert_load/layer_00"), [3, 6, 9]);
  assertEquals(stepsOf(folder.path).length, 10);
});

Deno.test("a later event file sorts after earlier ones, whatever the clock says", () => {
  using folder = new TemporaryFolder();
  for (const clock of [1_700_000_000_000, 1_700_000_000_000, 1_600_000_000_000]) {
    using sink = new TensorBoardSink(folder.path, CONFIG, { now: () => clock });
    sink.flush();
  }
  const names = eventPaths(folder.path).map((path) => path.slice(folder.path.length + 1));
  assertEquals(names, [0, 1, 2].map((last) => `events.out.tfevents.170000000${last}.remoe`));
});

Deno.test("`truncateEvents()` drops later steps and a torn record, and keeps the rest byte for byte", () => {
  using folder = new TemporaryFolder();
  {
    using sink = new TensorBoardSink(folder.path, CONFIG);
    for (const step of [1, 2, 300]) sink.write(metricsAt(step));
  }
  const [path] = eventPaths(folder.path) as [string];
  const before = Deno.readFileSync(path);
  Deno.writeFileSync(path, before.subarray(0, 20), { append: true });
  truncateEvents(folder.path, 300);
  assertEquals(Deno.readFileSync(path), before);
  truncateEvents(folder.path, 299);
  assertEquals(stepsOf(folder.path), [1, 2]);
  const after = Deno.readFileSync(path);
  assertEquals(after, before.subarray(0, after.length));
  truncateEvents(folder.path, 0);
  assertEquals(readEvents(path).map(({ version, step }) => [version, step]), [[
    "brain.Event:2",
    0,
  ]]);
  truncateEvents(`${folder.path}/none`, 1);
});

Deno.test("a resumed run has each step once, and restarts after its checkpoint", () => {
  using folder = new TemporaryFolder();
  const config = parseConfig({ ...CONFIG, out: `${folder.path}/run` });
  const events = `${folder.path}/run/tensorboard`;
  {
    using directory = RunDirectory.create(config);
    for (const step of [1, 2, 3]) {
      directory.metrics.write(metricsAt(step));
      directory.appendSample({ step, prompt: "", text: `text ${step}` });
      if (step !== 2) continue;
      const state = {
        format: 1 as const,
        step,
        tokens: step,
        lambda: 1,
        stage: initialStage("relu"),
        sampler: null,
        seed: 0,
        config_hash: configHash(config),
        versions: {},
      };
      directory.writeCheckpoint({ state, model: [], optimizer: [] }, 0);
    }
  }
  assertEquals(stepsOf(events), [1, 2, 3]);
  const off = { ...config, log: { tensorboard: false } };
  {
    const { directory, checkpoint } = RunDirectory.resume(findRun(config.out!), off);
    using _checkpoint = checkpoint;
    using begun = directory;
    begun.begin();
  }
  assertEquals(stepsOf(events), [1, 2]);
  assertEquals(eventPaths(events).length, 1);
  const { directory, checkpoint } = RunDirectory.resume(findRun(config.out!), config);
  using _checkpoint = checkpoint;
  using _directory = directory;
  directory.metrics.write(metricsAt(3));
  assertEquals(stepsOf(events), [1, 2, 3]);
  assertEquals(stepsOf(events, "sample"), [1, 2]);
  const last = readEvents(eventPaths(events)[1]!);
  assertEquals(last.filter(({ starts }) => starts).map(({ step }) => step), [3]);
});

Deno.test("without `log.tensorboard` a run has no event files", () => {
  using folder = new TemporaryFolder();
  using directory = RunDirectory.create(parseConfig({ preset: "pico", out: `${folder.path}/run` }));
  directory.metrics.write(metricsAt(1));
  const names = Array.from(Deno.readDirSync(directory.path), ({ name }) => name).sort();
  assertEquals(names, [".lock", "config.json", "metrics.jsonl"]);
});
