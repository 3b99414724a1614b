/** Tensor files, and checkpoints, which consist of them. @module */

import { CheckpointError } from "@remoe/remoe";
import * as train from "@remoe/remoe/train";
import { demand, type Entry } from "../entry.ts";
import { demandObject, demandPath } from "../reference_config.ts";
import type { World } from "../world.ts";

const NUMBERS = [1, 2, -3, 0.5];
const SPEC = { dtype: "F32", shape: [2, 2] } as const;
const bytesOf = (numbers: readonly number[]) => new Uint8Array(Float32Array.from(numbers).buffer);
const numbersOf = (bytes: Uint8Array) => [...new Float32Array(Uint8Array.from(bytes).buffer)];
const entry = () => ({
  name: "weight",
  dtype: "F32" as const,
  shape: [2, 2],
  read: () => bytesOf(NUMBERS),
});

/** What a step's checkpoint records. */
export const stateAt = (step: number, config_hash = "none"): train.CheckpointState => ({
  format: 1,
  step,
  tokens: 16 * step,
  lambda: 1e-8,
  stage: { stage: "dense", sparsifying_from: null, sparse_from: null },
  sampler: { seed: 3, epoch: 0, position: step },
  seed: 3,
  config_hash,
  versions: { remoe: "1" },
});

const contents = (step: number) => ({
  state: stateAt(step),
  model: [entry()],
  optimizer: [] as train.TensorEntry[],
  metadata: { by: "me" },
});

/** A folder with checkpoints of two steps. */
function twoCheckpoints(world: World): string {
  const root = `${world.folder()}/checkpoints`;
  for (const step of [100, 200]) train.writeCheckpoint(root, contents(step));
  return root;
}

function file(world: World): train.SafetensorsFile {
  const path = `${world.folder()}/model.safetensors`;
  train.writeSafetensors(path, [entry(), { ...entry(), name: "other" }], { by: "me" });
  return world.using(train.SafetensorsFile.open(path));
}

/** A file built from the format's description: a length, a header, the data. */
function parse(path: string): unknown {
  const bytes = Deno.readFileSync(path);
  const end = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const { __metadata__: about = {}, ...tensors } = JSON.parse(
    new TextDecoder().decode(bytes.subarray(8, end)),
  );
  const found = Object.entries<{ dtype: string; shape: number[]; data_offsets: number[] }>(tensors)
    .map(([name, { dtype, shape, data_offsets: [from, to] }]) => [
      ...[name, dtype, shape],
      numbersOf(bytes.subarray(end + from!, end + to!)),
    ]);
  return [found, about, bytes.length];
}

function demandTexts(value: unknown): asserts value is Record<string, string> {
  demandObject(value);
  demand(Object.values(value).every((text) => typeof text === "string"), "texts");
}

function demandEntries(entries: unknown): asserts entries is ReturnType<typeof entry>[] {
  demand(Array.isArray(entries), "entries");
  const names = Array.from(entries, (each) => {
    demandObject(each);
    const { name, dtype, shape, read } = each;
    demand(typeof name === "string" && name !== "__metadata__", "name");
    demand(dtype === "F32" && Array.isArray(shape) && typeof read === "function", "entry");
    demand(shape.reduce((product, size) => product * size, 1) === 4, `shape [${shape}]`);
    demand(shape.every((size) => Number.isInteger(size) && size > 0), `shape [${shape}]`);
    return name;
  });
  demand(new Set(names).size === names.length, "a name twice");
}

const writing: readonly Entry[] = [
  {
    of: "writeSafetensors",
    make: (w) => [`${w.folder()}/new.safetensors`, [entry()], { by: "me" }],
    call: (path, entries, metadata) => {
      try {
        const { bytes, sha256 } = train.writeSafetensors(path, entries, metadata);
        return [parse(path), bytes, sha256.length];
      } catch (error) {
        const left = Array.from(Deno.readDirSync("."), ({ name }) => name);
        if (left.length > 0) throw new Error(`left ${left} behind: ${error}`);
        throw error;
      }
    },
    right: (path, entries, metadata = {}) => {
      demandPath(path);
      demandEntries(entries);
      demandTexts(metadata);
      const header = Object.fromEntries(
        entries.map(({ name, dtype, shape }, i) =>
          [name, { dtype, shape, data_offsets: [16 * i, 16 * i + 16] }] as const
        ),
      );
      const about = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
      const length = new TextEncoder().encode(JSON.stringify({ ...about, ...header })).length;
      const bytes = 8 + Math.ceil(length / 8) * 8 + 16 * entries.length;
      const tensors = entries.map(({ name, dtype, shape }) => [name, dtype, shape, NUMBERS]);
      return [[tensors, metadata, bytes], bytes, 64];
    },
  },
];

function demandSpec(expected: unknown): void {
  if (expected === undefined) return;
  demandObject(expected);
  const { dtype, shape } = expected;
  demand(dtype === "F32" && Array.isArray(shape) && shape.join() === "2,2", "another tensor");
}

const reading: readonly Entry[] = [
  {
    of: "SafetensorsFile.open",
    make: (w) => [file(w).path],
    call: (path) => {
      using opened = train.SafetensorsFile.open(path);
      return [[...opened.tensors.keys()], opened.metadata, opened.path];
    },
    right: (path) => {
      demand(typeof path === "string" && path.endsWith("/model.safetensors"), "path");
      return [["weight", "other"], { by: "me" }, path];
    },
  },
  {
    of: "SafetensorsFile.read",
    make: (w) => [file(w), "weight", { ...SPEC, shape: [...SPEC.shape] }],
    call: (opened, name, expected) => numbersOf(opened.read(name, expected)),
    right: (_, name, expected) => {
      demand(name === "weight", "name");
      demandSpec(expected);
      return NUMBERS;
    },
    object: true,
  },
  {
    of: "SafetensorsFile.pieces",
    make: (w) => [file(w), "weight", { ...SPEC, shape: [...SPEC.shape] }, new Uint8Array(8)],
    call: (opened, name, expected, buffer) =>
      Array.from(opened.pieces(name, expected, buffer) as Iterable<Uint8Array>, numbersOf).flat(),
    right: (_, name, expected, buffer) => {
      demand(name === "weight" && expected !== undefined, "name");
      demandSpec(expected);
      demand(buffer instanceof Uint8Array, "buffer");
      return NUMBERS;
    },
    object: true,
  },
  {
    of: "SafetensorsFile.[Symbol.dispose]",
    make: (w) => [file(w)],
    call: (opened) => {
      opened[Symbol.dispose]();
      opened[Symbol.dispose]();
    },
    right: () => undefined,
    object: true,
  },
];

function demandState(state: unknown): asserts state is train.CheckpointState {
  demandObject(state);
  const { format, step, tokens, lambda, seed, config_hash, versions } = state;
  for (const value of [step, tokens, seed]) {
    demand(Number.isSafeInteger(value) && value as number >= 0, "a count");
  }
  demand(format === 1 && Number.isFinite(lambda) && lambda as number >= 0, "λ");
  demand(typeof config_hash === "string", "hash");
  demandTexts(versions);
  const { stage, sparsifying_from, sparse_from } = state.stage as Record<string, unknown>;
  demand(["dense", "sparsifying", "sparse"].includes(stage as string), "stage");
  for (const value of [sparsifying_from, sparse_from]) {
    demand(value === null || Number.isSafeInteger(value) && value as number >= 0, "a step");
  }
}

/** Refuses contents that no checkpoint can hold. */
export function demandContents(given: unknown): asserts given is ReturnType<typeof contents> {
  demandObject(given);
  const { state, model, optimizer, metadata = {} } = given;
  demandState(state);
  demandEntries(model);
  demandEntries(optimizer);
  demandTexts(metadata);
}

/** What was written, read back; a state loses what JSON cannot represent. */
export function readBack(path: string): unknown {
  using checkpoint = train.Checkpoint.open(path);
  const { by, format } = checkpoint.model.metadata;
  return [checkpoint.state, [...checkpoint.model.tensors.keys()], by, format];
}

/** The expected result of {@linkcode readBack}. */
export function rightBack({ state, model, metadata }: ReturnType<typeof contents>): unknown {
  const about = (metadata ?? {}) as Record<string, string>;
  const names = Array.from(model, ({ name }) => name);
  return [JSON.parse(JSON.stringify(state)), names, about.by, about.format ?? "pt"];
}

const folders: readonly Entry[] = [
  {
    of: "listCheckpoints",
    make: (w) => [twoCheckpoints(w)],
    call: train.listCheckpoints,
    right: (root) => {
      demandPath(root);
      if (!root.startsWith("/")) return [];
      return [200, 100].map((step) => ({ step, path: `${root}/step-000${step}` }));
    },
  },
  {
    of: "removeLaterCheckpoints",
    make: (w) => [twoCheckpoints(w), 150],
    call: (root, step) => {
      const removed = train.removeLaterCheckpoints(root, step).map(({ step }) => step);
      return [removed, train.listCheckpoints(root).map(({ step }) => step)];
    },
    right: (root, step) => {
      demandPath(root);
      demand(Number.isSafeInteger(step) && step >= 0, "step");
      const all = root.startsWith("/") ? [200, 100] : [];
      return [all.filter((each) => each > step), all.filter((each) => each <= step)];
    },
  },
  {
    of: "writeCheckpoint",
    make: (w) => [twoCheckpoints(w), contents(300), 2],
    call: (root, given, keep) => {
      const { step, path } = train.writeCheckpoint(root, given, keep);
      return [step, readBack(path), train.listCheckpoints(root).length];
    },
    right: (root, given, keep = 0) => {
      demandPath(root);
      demandContents(given);
      demand(Number.isSafeInteger(keep) && keep >= 0, "keep");
      const before = root.startsWith("/") ? 2 : 0;
      const { step } = given.state;
      const all = before + 1;
      return [step, rightBack(given), keep === 0 ? all : Math.min(keep, all)];
    },
    tries: 150,
  },
  {
    of: "Checkpoint.open",
    make: (w) => [`${twoCheckpoints(w)}/step-000100`],
    call: readBack,
    right: (path) => {
      demand(typeof path === "string" && path.endsWith("/step-000100"), "path");
      return rightBack(contents(100));
    },
  },
  {
    of: "Checkpoint.openNewest",
    make: (w) => [twoCheckpoints(w)],
    call: (root) => {
      using checkpoint = train.Checkpoint.openNewest(root);
      return checkpoint.state;
    },
    right: (root) => {
      demand(typeof root === "string" && root.startsWith("/"), "root");
      return stateAt(200);
    },
  },
  {
    of: "Checkpoint.[Symbol.dispose]",
    make: (w) => [w.using(train.Checkpoint.openNewest(twoCheckpoints(w)))],
    call: (checkpoint) => {
      checkpoint[Symbol.dispose]();
      checkpoint[Symbol.dispose]();
      try {
        checkpoint.model.read("weight");
        return "read";
      } catch (error) {
        return error instanceof CheckpointError;
      }
    },
    right: () => true,
    object: true,
  },
];

/** Tensor files and checkpoints. */
export const checkpoints: readonly Entry[] = [...writing, ...reading, ...folders];
