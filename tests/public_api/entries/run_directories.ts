/** Run directories: finding, creating, resuming and writing. @module */

import * as train from "@remoe/remoe/train";
import { demand, type Entry } from "../entry.ts";
import { demandConfig, demandObject, demandPath, tiny } from "../reference_config.ts";
import type { World } from "../world.ts";
import { demandContents, readBack, rightBack, stateAt } from "./checkpoints.ts";

const config = (changes: Readonly<Record<string, unknown>> = {}) =>
  train.parseConfig(tiny(changes));

/** Checkpoint contents that a run of the configuration could have written. */
function contents(step: number, config: train.TrainConfig) {
  const bytes = new Uint8Array(Float32Array.of(1, 2, -3, 0.5).buffer);
  const weight = { name: "weight", dtype: "F32" as const, shape: [2, 2], read: () => bytes };
  return {
    state: stateAt(step, train.configHash(config)),
    model: [weight],
    optimizer: [] as train.TensorEntry[],
    metadata: { by: "me" },
  };
}

/** A run with two checkpoints, with metrics and a sample for each. */
function savedRun(world: World): string {
  const path = `${world.folder()}/run`;
  const own = config({ out: path });
  using directory = train.RunDirectory.create(own);
  for (const step of [1, 2]) {
    directory.metrics.write({ step, valid_loss: 3, valid_bits_per_byte: 4 });
    directory.appendSample({ step, prompt: "", text: "Once" });
    directory.writeCheckpoint(contents(step, own), 0);
  }
  return path;
}

/** A new directory. */
const opened = (world: World) =>
  world.using(train.RunDirectory.create(config({ out: `${world.folder()}/run` })));

/** The sorted contents of a path. */
const namesIn = (path: string) => Array.from(Deno.readDirSync(path), ({ name }) => name).sort();

function demandRun(run: unknown): asserts run is train.FoundRun {
  demandObject(run);
  const { path, checkpoint } = run;
  demand(typeof path === "string" && path.endsWith("/run"), "path");
  demand(checkpoint === null || typeof checkpoint === "string", "checkpoint");
  demand(checkpoint === null || /\/step-00000[12]$/.test(checkpoint as string), "checkpoint");
  demandConfig(run.config);
}

/** What a resumed run shares with the original. */
function fixed(config: train.TrainConfig): string {
  const { model, moe, data, optimizer, validation: { batches }, seed, preset, out } = config;
  const sections = [model, moe, { ...data, cache: 0 }, { ...optimizer, lr: 0 }];
  return JSON.stringify([sections, batches, seed, preset, out]);
}

const opening: readonly Entry[] = [
  {
    of: "findRun",
    make: (w) => [`${savedRun(w)}/checkpoints/step-000001`],
    call: train.findRun,
    right: (path) => {
      demand(typeof path === "string" && path.endsWith("/step-000001"), "path");
      const run = path.slice(0, path.indexOf("/checkpoints"));
      return { path: run, checkpoint: path, config: config({ out: run }) };
    },
  },
  {
    of: "RunDirectory.create",
    make: (w) => [config(), { parent: w.folder(), now: new Date(0) }],
    call: (config, options) => {
      using directory = train.RunDirectory.create(config, options);
      directory.begin();
      return [directory.path, namesIn(directory.path)];
    },
    right: (config, options = {}) => {
      demandConfig(config);
      demandObject(options);
      const { parent = ".", now = new Date() } = options;
      demandPath(parent);
      demand(now instanceof Date && !Number.isNaN(now.getTime()), "date");
      const { preset, seed, steps, model: { layers, hidden }, moe, out } = config;
      const experts = `e${moe.experts}k${moe.active}g${moe.granularity}`;
      const date = now.toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
      // The first three settings in which a configuration differs from its preset.
      const unlike = `steps${steps}-layers${layers}-hidden${hidden}`;
      const name = `${date}-${preset}-${moe.router}-${experts}-${unlike}-s${seed}`;
      const files = [".lock", "config.json", "metrics.jsonl"];
      return [out ?? `${parent}/runs/${name}`, files];
    },
    tries: 250,
  },
  {
    of: "RunDirectory.create",
    variant: "a name of its own",
    make: (w) => [config({ out: `${w.folder()}/a/run`, log: { tensorboard: true } })],
    call: (config) => {
      using directory = train.RunDirectory.create(config);
      directory.begin();
      return JSON.parse(Deno.readTextFileSync(`${directory.path}/config.json`));
    },
    right: (config) => (demandConfig(config), config),
    tries: 150,
  },
  {
    of: "RunDirectory.resume",
    make: (w) => {
      const run = train.findRun(savedRun(w));
      return [
        { ...run, checkpoint: `${run.path}/checkpoints/step-000001` },
        { ...run.config, steps: 9 },
      ];
    },
    call: (run, config) => {
      const { directory, checkpoint } = train.RunDirectory.resume(run, config);
      using _directory = directory;
      using _checkpoint = checkpoint;
      directory.begin();
      const { path } = directory;
      const steps = train.listCheckpoints(`${path}/checkpoints`).map(({ step }) => step);
      return [
        path,
        checkpoint.state.step,
        steps[0],
        train.readMetrics(`${path}/metrics.jsonl`).length,
      ];
    },
    right: (run, config) => {
      demandRun(run);
      demandConfig(config);
      demand(fixed(run.config) === fixed(config as unknown as train.TrainConfig), "other values");
      const step = run.checkpoint === null ? 2 : Number(run.checkpoint.slice(-1));
      return [run.path, step, step, step];
    },
    tries: 200,
  },
];

const writing: readonly Entry[] = [
  {
    of: "RunDirectory.begin",
    make: (w) => [opened(w)],
    call: (directory) => {
      directory.begin();
      directory.begin();
      return namesIn("run");
    },
    right: () => [".lock", "config.json", "metrics.jsonl"],
    object: true,
  },
  {
    of: "RunDirectory.metrics",
    make: (w) => [opened(w)],
    call: (directory) => {
      directory.metrics.write({ step: 1, valid_loss: 3, valid_bits_per_byte: 4 });
      return train.readMetrics("run/metrics.jsonl").length;
    },
    right: () => 1,
    object: true,
  },
  {
    of: "RunDirectory.appendSample",
    make: (w) => [opened(w), { step: 1, prompt: "On", text: "Once" }],
    call: (
      directory,
      sample,
    ) => (directory.appendSample(sample), Deno.readTextFileSync("run/samples.txt")),
    right: (_, sample) => {
      demandObject(sample);
      const { step, prompt, text } = sample;
      demand(Number.isSafeInteger(step) && step as number >= 0, "step");
      demand(typeof prompt === "string" && typeof text === "string", "text");
      return `=== step ${step} ===\n${text}\n\n`;
    },
    object: true,
  },
  {
    of: "RunDirectory.writeCheckpoint",
    make: (w) => [opened(w), contents(3, config()), 1],
    call: (directory, given, keep) => readBack(directory.writeCheckpoint(given, keep).path),
    right: (_, given, keep = 0) => {
      demandContents(given);
      demand(Number.isSafeInteger(keep) && keep >= 0, "keep");
      return rightBack(given);
    },
    object: true,
    tries: 80,
  },
  {
    of: "RunDirectory.[Symbol.dispose]",
    variant: "of a resumed run",
    make: (w) => {
      const run = train.findRun(savedRun(w));
      const { directory, checkpoint } = train.RunDirectory.resume(run, run.config);
      w.using(checkpoint);
      return [w.using(directory)];
    },
    call: (directory) => {
      directory[Symbol.dispose]();
      directory[Symbol.dispose]();
      try {
        directory.appendSample({ step: 3, prompt: "", text: "Late" });
      } catch (error) {
        return (error as Error).name;
      }
    },
    right: () => "FileError",
    object: true,
  },
  {
    of: "RunDirectory.[Symbol.dispose]",
    make: (w) => [opened(w)],
    call: (directory) => {
      directory[Symbol.dispose]();
      directory[Symbol.dispose]();
      return namesIn(".");
    },
    right: () => [],
    object: true,
  },
];

/** Run directories. */
export const runDirectories: readonly Entry[] = [...opening, ...writing];
