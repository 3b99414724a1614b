/**
 * Checkpoints: `step-NNNNNN/` with the model, the optimizer, the run's state, and a marker.
 *
 * A checkpoint is written under a temporary name, synced, marked last, and then renamed: a run that
 * is killed at any moment leaves complete checkpoints, and remains, which lack name or marker and are
 * passed over. The marker holds size and SHA-256 of each file, so that damage is found
 * before a run goes on with it.
 *
 * @module
 */

import { CheckpointError } from "../errors.ts";
import { type CheckpointState, readCheckpointState } from "./checkpoint_state.ts";
import { exists, onPath, removeIfThere, syncDirectory, writeTextAtomically } from "./files.ts";
import {
  digestFile,
  type FileDigest,
  SafetensorsFile,
  type TensorEntry,
  writeSafetensors,
} from "./safetensors.ts";

const MODEL = "model.safetensors";
const OPTIMIZER = "optimizer.safetensors";
const STATE = "state.json";
const DONE = "DONE";
const FILES: readonly string[] = [MODEL, OPTIMIZER, STATE];

/** A checkpoint's folder. */
export interface CheckpointFolder {
  /** Steps taken when it was written. */
  readonly step: number;
  /** Its path. */
  readonly path: string;
}

/** What a checkpoint holds. */
export interface CheckpointContents {
  /** All that is not a tensor; its step names the folder. */
  readonly state: CheckpointState;
  /** The weights, by the names that others use. */
  readonly model: Iterable<TensorEntry>;
  /** The optimizer's moments. */
  readonly optimizer: Iterable<TensorEntry>;
  /** Free texts for the model's file. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes a checkpoint and removes the ones that are no longer to be kept.
 *
 * @param root The folder of all checkpoints; made where it is missing.
 * @param contents What to write.
 * @param keep How many of the newest to keep; 0: all.
 * @returns The new checkpoint's folder.
 * @throws {CheckpointError} A tensor does not fit its shape, or a name is used twice.
 * @throws {FileError} A file cannot be written; the checkpoints before are as they were.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import {
 *   configHash,
 *   initialStage,
 *   parseConfig,
 *   writeCheckpoint,
 * } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * const read = () => new Uint8Array(Float32Array.of(1, 2).buffer);
 * const save = (step: number) =>
 *   writeCheckpoint(folder, {
 *     state: {
 *       format: 1,
 *       step,
 *       tokens: 4096 * step,
 *       lambda: 1e-8,
 *       stage: initialStage("relu"),
 *       sampler: null,
 *       seed: 0,
 *       config_hash: configHash(parseConfig({})),
 *       versions: {},
 *     },
 *     model: [{ name: "weight", dtype: "F32", shape: [2], read }],
 *     optimizer: [],
 *   });
 * assert(save(100).path === `${folder}/step-000100`);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function writeCheckpoint(
  root: string,
  contents: CheckpointContents,
  keep = 0,
): CheckpointFolder {
  const { step } = contents.state;
  const path = `${root}/${folderName(step)}`;
  onPath("write the checkpoint", path, () => {
    Deno.mkdirSync(root, { recursive: true });
    removeRemains(root);
    const temporary = `${root}/.${folderName(step)}.tmp`;
    Deno.mkdirSync(temporary);
    try {
      writeFiles(temporary, contents);
      replace(temporary, path);
    } catch (error) {
      // On a full disk what was written so far is what the next attempt lacks.
      removeIfThere(temporary);
      throw error;
    }
  });
  if (keep > 0) listCheckpoints(root).slice(keep).forEach((old) => removeCheckpoint(old.path));
  return { step, path };
}

/** Writes all files, the marker last: without it the folder is none that counts. */
function writeFiles(folder: string, contents: CheckpointContents): void {
  const { state, model, optimizer, metadata } = contents;
  const digests: Record<string, FileDigest> = {
    [MODEL]: writeSafetensors(`${folder}/${MODEL}`, model, { format: "pt", ...metadata }),
    [OPTIMIZER]: writeSafetensors(`${folder}/${OPTIMIZER}`, optimizer),
  };
  writeTextAtomically(`${folder}/${STATE}`, `${JSON.stringify(state, null, 2)}\n`);
  digests[STATE] = digestFile(`${folder}/${STATE}`);
  syncDirectory(folder);
  writeTextAtomically(`${folder}/${DONE}`, `${JSON.stringify({ files: digests }, null, 2)}\n`);
}

/**
 * Lists the complete checkpoints of a run: those that have their marker.
 *
 * @param root The folder of all checkpoints; a missing one holds none.
 * @returns Newest first.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import {
 *   configHash,
 *   initialStage,
 *   listCheckpoints,
 *   parseConfig,
 *   writeCheckpoint,
 * } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * const read = () => new Uint8Array(Float32Array.of(1, 2).buffer);
 * const save = (step: number) =>
 *   writeCheckpoint(folder, {
 *     state: {
 *       format: 1,
 *       step,
 *       tokens: 4096 * step,
 *       lambda: 1e-8,
 *       stage: initialStage("relu"),
 *       sampler: null,
 *       seed: 0,
 *       config_hash: configHash(parseConfig({})),
 *       versions: {},
 *     },
 *     model: [{ name: "weight", dtype: "F32", shape: [2], read }],
 *     optimizer: [],
 *   });
 * for (const step of [100, 200]) save(step);
 * assert(listCheckpoints(folder).map(({ step }) => step).join() === "200,100");
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function listCheckpoints(root: string): CheckpointFolder[] {
  return entriesOf(root)
    .map((name) => ({ name, step: Number(/^step-(\d{6,})$/.exec(name)?.[1] ?? NaN) }))
    .filter(({ name, step }) => Number.isInteger(step) && exists(`${root}/${name}/${DONE}`))
    .map(({ name, step }) => ({ step, path: `${root}/${name}` }))
    .sort((a, b) => b.step - a.step);
}

/**
 * Removes the checkpoints of later steps, before a run goes on from an older one.
 *
 * @param root The folder of all checkpoints.
 * @param step The last step to keep.
 * @returns The folders that were removed.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import {
 *   configHash,
 *   initialStage,
 *   parseConfig,
 *   removeLaterCheckpoints,
 *   writeCheckpoint,
 * } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * const read = () => new Uint8Array(Float32Array.of(1, 2).buffer);
 * const save = (step: number) =>
 *   writeCheckpoint(folder, {
 *     state: {
 *       format: 1,
 *       step,
 *       tokens: 4096 * step,
 *       lambda: 1e-8,
 *       stage: initialStage("relu"),
 *       sampler: null,
 *       seed: 0,
 *       config_hash: configHash(parseConfig({})),
 *       versions: {},
 *     },
 *     model: [{ name: "weight", dtype: "F32", shape: [2], read }],
 *     optimizer: [],
 *   });
 * for (const step of [100, 200]) save(step);
 * assert(removeLaterCheckpoints(folder, 150)[0]?.step === 200);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function removeLaterCheckpoints(root: string, step: number): CheckpointFolder[] {
  const later = listCheckpoints(root).filter((checkpoint) => checkpoint.step > step);
  later.forEach(({ path }) => removeCheckpoint(path));
  return later;
}

/**
 * An open checkpoint, whose files have been checked against its marker.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import {
 *   Checkpoint,
 *   configHash,
 *   initialStage,
 *   parseConfig,
 *   writeCheckpoint,
 * } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * const read = () => new Uint8Array(Float32Array.of(1, 2).buffer);
 * const save = (step: number) =>
 *   writeCheckpoint(folder, {
 *     state: {
 *       format: 1,
 *       step,
 *       tokens: 4096 * step,
 *       lambda: 1e-8,
 *       stage: initialStage("relu"),
 *       sampler: null,
 *       seed: 0,
 *       config_hash: configHash(parseConfig({})),
 *       versions: {},
 *     },
 *     model: [{ name: "weight", dtype: "F32", shape: [2], read }],
 *     optimizer: [],
 *   });
 * const { path } = save(100);
 * {
 *   using checkpoint = Checkpoint.openNewest(folder); // or Checkpoint.open(path)
 *   assert(checkpoint.path === path && checkpoint.state.step === 100);
 *   assert(new Float32Array(checkpoint.model.read("weight").buffer).join() === "1,2");
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class Checkpoint implements Disposable {
  /** The checkpoint's folder. */
  readonly path: string;
  /** All that is not a tensor. */
  readonly state: CheckpointState;
  /** The weights. */
  readonly model: SafetensorsFile;
  /** The optimizer's moments. */
  readonly optimizer: SafetensorsFile;

  private constructor(
    path: string,
    state: CheckpointState,
    model: SafetensorsFile,
    optimizer: SafetensorsFile,
  ) {
    this.path = path;
    this.state = state;
    this.model = model;
    this.optimizer = optimizer;
  }

  /**
   * Opens a checkpoint and checks every byte of it.
   *
   * @param path The checkpoint's folder.
   * @returns The open checkpoint; dispose of it to close its files.
   * @throws {CheckpointError} The marker is missing, or a file is not what was written; names it.
   */
  static open(path: string): Checkpoint {
    onPath("read", path, () => verify(path));
    const state = readCheckpointState(`${path}/${STATE}`);
    checkStep(path, state);
    using stack = new DisposableStack();
    const model = stack.use(SafetensorsFile.open(`${path}/${MODEL}`));
    const optimizer = stack.use(SafetensorsFile.open(`${path}/${OPTIMIZER}`));
    stack.move();
    return new Checkpoint(path, state, model, optimizer);
  }

  /**
   * Opens the newest complete checkpoint of a run. A damaged one is an error rather than a reason
   * to take an older one, which would silently lose steps.
   *
   * @param root The folder of all checkpoints.
   * @returns The open checkpoint.
   * @throws {CheckpointError} There is none, or the newest is damaged.
   */
  static openNewest(root: string): Checkpoint {
    const [newest, older] = listCheckpoints(root);
    if (newest === undefined) {
      throw new CheckpointError(
        `Cannot open a checkpoint: ${root} holds no complete one; the run ended before its first, ` +
          `start it again in another directory`,
      );
    }
    try {
      return Checkpoint.open(newest.path);
    } catch (cause) {
      if (!(cause instanceof CheckpointError) || older === undefined) throw cause;
      throw new CheckpointError(
        `${cause.message}; the checkpoint before it is ${older.path}, name that to go on from it`,
        { cause },
      );
    }
  }

  /** Closes the checkpoint's files. */
  [Symbol.dispose](): void {
    this.model[Symbol.dispose]();
    this.optimizer[Symbol.dispose]();
  }
}

/** A folder that was renamed would be taken for another step than its weights are of. */
function checkStep(path: string, { step }: CheckpointState): void {
  const [name] = /step-\d+$/.exec(path) ?? [];
  if (name === undefined || name === folderName(step)) return;
  throw new CheckpointError(
    `Cannot open ${path}: its ${STATE} is of step ${step}; give the folder its name back, ` +
      folderName(step),
  );
}

/** Compares each file with the marker: sizes first, since they cost nothing. */
function verify(path: string): void {
  const marker = `${path}/${DONE}`;
  if (!exists(path)) {
    throw new CheckpointError(`Cannot open ${path}: there is no such checkpoint`);
  }
  if (!exists(marker)) {
    throw new CheckpointError(
      `Cannot open ${path}: it is incomplete, its marker ${DONE} is missing`,
    );
  }
  let digests: Record<string, FileDigest>;
  try {
    digests = (JSON.parse(Deno.readTextFileSync(marker)) as { files: typeof digests }).files;
    FILES.forEach((name) => digests[name]!.sha256);
  } catch (cause) {
    throw new CheckpointError(`Cannot open ${path}: its marker ${DONE} is damaged`, { cause });
  }
  for (const name of FILES) {
    const file = `${path}/${name}`;
    const written = digests[name]!;
    if (!exists(file)) throw new CheckpointError(`Cannot open ${path}: ${name} is missing`);
    const bytes = Deno.statSync(file).size;
    if (bytes !== written.bytes) {
      throw new CheckpointError(
        `Cannot open ${path}: ${name} has ${bytes} bytes, ${written.bytes} were written`,
      );
    }
  }
  for (const name of FILES) {
    if (digestFile(`${path}/${name}`).sha256 !== digests[name]!.sha256) {
      throw new CheckpointError(`Cannot open ${path}: ${name} is not what was written (SHA-256)`);
    }
  }
}

/** Puts the new folder in place; an older one of the same step goes only once the new is there. */
function replace(temporary: string, path: string): void {
  const root = path.slice(0, path.lastIndexOf("/"));
  const old = `${root}/.${path.slice(root.length + 1)}.old`;
  if (exists(path)) Deno.renameSync(path, old);
  Deno.renameSync(temporary, path);
  syncDirectory(root);
  if (exists(old)) Deno.removeSync(old, { recursive: true });
}

/** The marker goes first: half-removed, the checkpoint counts as incomplete. */
function removeCheckpoint(path: string): void {
  Deno.removeSync(`${path}/${DONE}`);
  Deno.removeSync(path, { recursive: true });
}

/** What a killed run left behind. The run directory's lock makes sure that it is nobody else's. */
function removeRemains(root: string): void {
  for (const name of entriesOf(root)) {
    const isRemains = /^\.step-\d+\.(tmp|old)$/.test(name) ||
      /^step-\d+$/.test(name) && !exists(`${root}/${name}/${DONE}`);
    if (isRemains) Deno.removeSync(`${root}/${name}`, { recursive: true });
  }
}

function folderName(step: number): string {
  return `step-${String(step).padStart(6, "0")}`;
}

function entriesOf(root: string): string[] {
  return exists(root) ? Array.from(Deno.readDirSync(root), (entry) => entry.name) : [];
}
