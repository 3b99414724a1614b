/** Opens checkpoints and verifies every byte of them. @module */

import { requirePath } from "../arguments.ts";
import { CheckpointError } from "../errors.ts";
import {
  type CheckpointFolder,
  DONE,
  folderName,
  listCheckpoints,
  MODEL,
  OPTIMIZER,
  STATE,
} from "./folders.ts";
import { type CheckpointState, readCheckpointState } from "./state.ts";
import { digestFile, exists, type FileDigest, onPath } from "../files.ts";
import { SafetensorsFile } from "./safetensors.ts";

const FILES: readonly string[] = [MODEL, OPTIMIZER, STATE];

/**
 * An open checkpoint whose files match its marker.
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
  /** Everything that is not a tensor. */
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
   * Opens a checkpoint and verifies every byte of it.
   *
   * @param path The checkpoint's folder.
   * @returns The open checkpoint; dispose of it to close its files.
   * @throws {CheckpointError} The marker is missing, or a file differs from what was written; the
   * message names it.
   */
  static open(path: string): Checkpoint {
    requirePath("open a checkpoint", "path", path);
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
   * Opens the newest complete checkpoint of a run. If it is damaged, that is an error: falling back
   * to an older one would silently lose steps.
   *
   * @param root The folder that holds the checkpoints.
   * @returns The open checkpoint.
   * @throws {CheckpointError} There is none, or the newest is damaged.
   */
  static openNewest(root: string): Checkpoint {
    const [newest = noCheckpoint(root), older] = listCheckpoints(root);
    try {
      return Checkpoint.open(newest.path);
    } catch (cause) {
      if (!(cause instanceof CheckpointError) || older === undefined) throw cause;
      throw new CheckpointError(
        `${cause.message}; the checkpoint before it is ${older.path}, pass that to resume from it`,
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

/**
 * Finds the newest complete checkpoint of a run.
 *
 * @param root The folder that holds the checkpoints.
 * @returns Its folder.
 * @throws {CheckpointError} There is none.
 */
export function newestCheckpoint(root: string): CheckpointFolder {
  const [newest = noCheckpoint(root)] = listCheckpoints(root);
  return newest;
}

function noCheckpoint(root: string): never {
  throw new CheckpointError(
    `Cannot open a checkpoint: ${root} holds no complete one; wait for the first if the run ` +
      `is still training, else start it again in another directory`,
  );
}

/** Refuses a renamed folder: its name would claim a step that its weights are not from. */
function checkStep(path: string, { step }: CheckpointState): void {
  const [name] = /step-\d+$/.exec(path) ?? [];
  if (name === undefined || name === folderName(step)) return;
  throw new CheckpointError(
    `Cannot open ${path}: its ${STATE} is of step ${step}; rename the folder back to ` +
      folderName(step),
  );
}

/** Compares each file with the marker, sizes first because they are cheap. */
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
