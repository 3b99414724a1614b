/** Metrics of a run: lines, sinks, and where a step's time goes. @module */

import * as train from "@remoe/remoe/train";
import { demand, type Entry } from "../entry.ts";
import { demandConfig, demandObject, demandPath, tiny } from "../reference_config.ts";
import type { World } from "../world.ts";

const validation = (step: number) => ({ step, valid_loss: 3, valid_bits_per_byte: 4 });

const flips = () => ({
  ...{ step: 1, flip_rate: 0.25, flip_count: 0.5, flip_rate_per_layer: [0.25] },
});

const stepLine = () => ({
  ...{ step: 1, loss: 3, lr: 1e-3, grad_norm: 1, sparsity: 0.5, sparsity_per_layer: [0.5] },
  ...{ lambda: 1e-8, l1_reg: 0.1, expert_load: [[0.25, 0.75]], tokens_without_expert: 0 },
  ...{ idle_experts: 0, closed_layers: 0 },
  ...{
    stage: "dense",
    dtype: "f32",
    tokens: 16,
    tokens_per_second: 9,
    gflops: 1,
    gflops_executed: 1,
  },
  ...{ ms: 5, memory_bytes: 2 ** 20 },
});

const sample = () => ({ step: 1, prompt: "On", text: "Once" });

function demandStep(step: unknown): asserts step is number {
  demand(Number.isSafeInteger(step) && step as number >= 0, "step");
}

function demandValidation(line: unknown): void {
  demandObject(line);
  demandStep(line.step);
  for (const value of [line.valid_loss, line.valid_bits_per_byte]) {
    demand(typeof value === "number", "a figure");
  }
}

function demandFlips(line: unknown): void {
  demandObject(line);
  demandStep(line.step);
  const { flip_rate, flip_count, flip_rate_per_layer: layers } = line;
  demand(Array.isArray(layers), "layers");
  for (const value of [flip_rate, flip_count, ...Array.from(layers as unknown[])]) {
    demand(typeof value === "number", "a figure");
  }
}

/** A metrics file with two steps. */
function twoLines(world: World): string {
  const path = `${world.folder()}/metrics.jsonl`;
  Deno.writeTextFileSync(path, [1, 2].map((s) => `${JSON.stringify(validation(s))}\n`).join(""));
  return path;
}

const lines: readonly Entry[] = [
  {
    of: "isValidation",
    make: () => [validation(1)],
    call: train.isValidation,
    right: (line) => typeof line === "object" && line !== null && "valid_loss" in line,
  },
  {
    of: "isFlips",
    make: () => [flips()],
    call: train.isFlips,
    right: (line) => typeof line === "object" && line !== null && "flip_rate" in line,
  },
  {
    of: "readMetrics",
    make: (w) => [twoLines(w)],
    call: train.readMetrics,
    right: (path) => {
      demand(typeof path === "string" && path.endsWith("/metrics.jsonl"), "path");
      return [validation(1), validation(2)];
    },
  },
  {
    of: "truncateMetrics",
    make: (w) => [twoLines(w), 1],
    call: (path, step) => {
      train.truncateMetrics(path, step);
      return path.startsWith("/") ? train.readMetrics(path).length : 0;
    },
    right: (path, step) => {
      demandPath(path);
      demandStep(step);
      return path.startsWith("/") ? Math.min(step, 2) : 0;
    },
  },
];

const jsonl = (world: World) => world.using(new train.JsonlSink(`${world.folder()}/metrics.jsonl`));
const written = () => Deno.readTextFileSync("metrics.jsonl");

/** A line after a round trip through JSON, which has no NaN or infinity. */
const asJson = (line: unknown) => `${JSON.stringify(line)}\n`;

const jsonlSinks: readonly Entry[] = [
  {
    of: "new JsonlSink",
    make: (w) => [twoLines(w)],
    call: (path) => {
      using sink = new train.JsonlSink(path);
      sink.write(validation(3));
      return Deno.readTextFileSync(path).split("\n").length - 1;
    },
    right: (path) => (demandPath(path), path.startsWith("/") ? 3 : 1),
  },
  {
    of: "JsonlSink.write",
    make: (w) => [jsonl(w), validation(1)],
    call: (sink, line) => (sink.write(line), written()),
    right: (_, line) => (demandValidation(line), asJson(line)),
    object: true,
  },
  {
    of: "JsonlSink.write",
    variant: "a line of flips",
    make: (w) => [jsonl(w), flips()],
    call: (sink, line) => (sink.write(line), written()),
    right: (_, line) => (demandFlips(line), asJson(line)),
    object: true,
  },
  {
    of: "JsonlSink.write",
    variant: "a step's line",
    make: (w) => [jsonl(w), stepLine()],
    call: (sink, line) => (sink.write(line), JSON.parse(written()).step),
    right: (_, line) => (demandObject(line), demandStep(line.step), line.step),
    object: true,
  },
  {
    of: "JsonlSink.flush",
    make: (w) => [jsonl(w)],
    call: (sink) => (sink.flush(), written()),
    right: () => "",
    object: true,
  },
  end("JsonlSink", jsonl),
];

// deno-lint-ignore no-explicit-any
function end(name: string, make: (world: World) => any): Entry {
  return {
    of: `${name}.[Symbol.dispose]`,
    make: (w) => [make(w)],
    call: (object) => {
      object[Symbol.dispose]();
      object[Symbol.dispose]();
    },
    right: () => undefined,
    object: true,
  };
}

const config = () => train.parseConfig(tiny());
const events = (world: World) =>
  world.using(new train.TensorBoardSink(`${world.folder()}/events`, config()));

/** The records of a folder's only event file, decoded by the format's description. */
function records(folder = "events"): Uint8Array[] {
  const [{ name } = { name: "" }, ...others] = Deno.readDirSync(folder);
  if (others.length > 0) throw new Error("several event files");
  const bytes = Deno.readFileSync(`${folder}/${name}`);
  const view = new DataView(bytes.buffer);
  const found: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(view.getBigUint64(at, true));
    found.push(bytes.subarray(at + 12, at + 12 + length));
    at += 16 + length;
  }
  return found;
}

/** Version, start and configuration. */
const HEAD = 3;
const textOf = (record: Uint8Array | undefined) => new TextDecoder("latin1").decode(record);

const tensorBoard: readonly Entry[] = [
  {
    of: "new TensorBoardSink",
    make: (w) => [`${w.folder()}/events`, config(), { from: 3, now: () => 5000 }],
    call: (folder, config, options) => {
      using _sink = new train.TensorBoardSink(folder, config, options);
      const [version, ...others] = records(folder);
      return [textOf(version).includes("brain.Event:2"), others.length];
    },
    right: (folder, config, options = {}) => {
      demandPath(folder);
      demandConfig(config);
      demandObject(options);
      const { from = 0, now = () => 0 } = options;
      demandStep(from);
      demand(typeof now === "function", "clock");
      return [true, HEAD - 1];
    },
    tries: 250,
  },
  {
    of: "TensorBoardSink.write",
    make: (w) => [events(w), validation(1)],
    call: (sink, line) => (sink.write(line), records().length - HEAD),
    right: (_, line) => (demandValidation(line), 1),
    object: true,
  },
  {
    of: "TensorBoardSink.write",
    variant: "a step's line",
    make: (w) => [events(w), stepLine()],
    call: (sink, line) => (sink.write(line), records().length - HEAD),
    right: (_, line) => {
      demandObject(line);
      demandStep(line.step);
      const numbers = Object.entries(line).filter(([key]) => !/stage|dtype|load|layer/.test(key));
      // An absent or null metric is one that a run had no number for.
      const isNumber = (value: unknown) => typeof value === "number";
      demand(numbers.every(([, value]) => isNumber(value)), "a figure");
      const { expert_load: load, sparsity_per_layer: sparsity } = line;
      demand(Array.isArray(sparsity) && Array.from(sparsity).every(isNumber), "sparsity");
      demand(
        Array.isArray(load) &&
          Array.from(load).every((shares) =>
            Array.isArray(shares) && Array.from(shares).every(isNumber)
          ),
        "load",
      );
      return 2;
    },
    object: true,
  },
  {
    of: "TensorBoardSink.writeSample",
    make: (w) => [events(w), sample()],
    call: (sink, given) => {
      sink.writeSample(given);
      return textOf(records()[HEAD]).includes(`    ${given.text}`);
    },
    right: (_, given) => {
      demandObject(given);
      demandStep(given.step);
      demand(typeof given.text === "string", "text");
      return true;
    },
    object: true,
  },
  {
    of: "TensorBoardSink.flush",
    make: (w) => [events(w)],
    call: (sink) => (sink.flush(), records().length),
    right: () => HEAD,
    object: true,
  },
  end("TensorBoardSink", events),
];

const profile = (world: World) =>
  world.using(new train.StepProfile(world.device, { skip: 0, traced: 1 }));

/** Two steps of one kernel. */
function steps({ device }: World, profile: train.StepProfile): train.StepProfile {
  for (let step = 0; step < 2; step++) {
    profile.enter("forward");
    using _scope = device.scope();
    device.zeros([4, 4]);
    profile.endStep();
  }
  return profile;
}

const profiles: readonly Entry[] = [
  {
    of: "new StepProfile",
    make: (w) => [w.device, { skip: 0, traced: 1 }],
    call: (device, options) => {
      using profile = new train.StepProfile(device, options);
      profile.enter("data");
      profile.endStep();
      return [profile.summary()?.steps ?? 0, profile.trace().traceEvents.length];
    },
    right: (_, options = {}) => {
      demandObject(options);
      const { skip = 3, traced = 5 } = options;
      demandStep(skip);
      demandStep(traced);
      const steps = skip === 0 ? 1 : 0;
      return [steps, Math.min(traced, steps)];
    },
  },
  {
    of: "StepProfile.enter",
    make: (w) => [profile(w), "backward"],
    call: (profile, phase) => {
      profile.enter(phase);
      profile.endStep();
      return profile.summary().entries.map(({ phase }: train.ProfileEntry) => phase);
    },
    right: (_, phase) => {
      demand(["data", "forward", "backward", "optimizer", "readout"].includes(phase), "phase");
      return [phase];
    },
    object: true,
  },
  {
    of: "StepProfile.endStep",
    make: (w) => [steps(w, profile(w))],
    call: (profile) => (profile.endStep(), profile.summary().steps),
    right: () => 2,
    object: true,
  },
  {
    of: "StepProfile.summary",
    make: (w) => [steps(w, profile(w))],
    call: (profile) => {
      const { steps, entries } = profile.summary() as train.ProfileSummary;
      const fill = entries.find(({ kernel }) => kernel === "fill");
      return [steps, fill?.phase, fill?.calls];
    },
    right: () => [2, "forward", 1],
    object: true,
  },
  {
    of: "StepProfile.trace",
    make: (w) => [steps(w, profile(w))],
    call: (profile) => {
      const names = profile.trace().traceEvents.map(({ name }: train.TraceEvent) => name);
      return [names.includes("fill"), names.at(-1)];
    },
    right: () => [true, "forward"],
    object: true,
  },
  end("StepProfile", profile),
];

/** Metrics, sinks and profiles. */
export const figures: readonly Entry[] = [...lines, ...jsonlSinks, ...tensorBoard, ...profiles];
