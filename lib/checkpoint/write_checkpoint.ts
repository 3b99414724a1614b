/** Writes checkpoints. @module */

import {
  type CheckpointFolder,
  DONE,
  folderName,
  listCheckpoints,
  MODEL,
  OPTIMIZER,
  removeCheckpoint,
  removeRemains,
  STATE,
} from "./folders.ts";
import { checkCheckpointState, type CheckpointState } from "./state.ts";
import { requireObject, requirePath, requireWhole } from "../arguments.ts";
import {
  digestFile,
  exists,
  type FileDigest,
  onPath,
  removeIfThere,
  syncDirectory,
  writeAtomically,
} from "../files.ts";
import { type TensorEntry, writeSafetensors } from "./write_safetensors.ts";

/** The contents of a checkpoint. */
export interface CheckpointContents {
  /** Everything that is not a tensor; its step names the folder. */
  readonly state: CheckpointState;
  /** The weights, under Hugging Face's names. */
  readonly model: Iterable<TensorEntry>;
  /** The optimizer's moments. */
  readonly optimizer: Iterable<TensorEntry>;
  /** Metadata of the model's file. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes a checkpoint and removes old ones beyond the number to keep.
 *
 * @param root The folder that holds the checkpoints; created if missing.
 * @param contents What to write.
 * @param keep How many of the newest checkpoints to keep; 0 keeps all.
 * @returns The new checkpoint's folder.
 * @throws {TypeError} An argument has the wrong type.
 * @throws {CheckpointError} A tensor's bytes do not fit its shape, or a name is used twice.
 * @throws {FileError} A file cannot be written; earlier checkpoints stay as they were.
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
  requirePath("write the checkpoint", "root", root);
  requireObject("write the checkpoint", "contents", contents);
  const { step } = checkCheckpointState(contents.state);
  const { metadata = {} } = contents;
  requireObject("write the checkpoint", "contents.metadata", metadata);
  requireWhole("write the checkpoint", "keep", keep);
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
      // On a full disk, the next attempt needs the space of what was written so far.
      removeIfThere(temporary);
      throw error;
    }
  });
  if (keep > 0) listCheckpoints(root).slice(keep).forEach((old) => removeCheckpoint(old.path));
  return { step, path };
}

/** Writes all files, the marker last: a folder without it is not a checkpoint. */
function writeFiles(folder: string, contents: CheckpointContents): void {
  const { state, model, optimizer, metadata } = contents;
  const digests: Record<string, FileDigest> = {
    [MODEL]: writeSafetensors(`${folder}/${MODEL}`, model, { format: "pt", ...metadata }),
    [OPTIMIZER]: writeSafetensors(`${folder}/${OPTIMIZER}`, optimizer),
  };
  writeAtomically(`${folder}/${STATE}`, `${JSON.stringify(state, null, 2)}\n`);
  digests[STATE] = digestFile(`${folder}/${STATE}`);
  syncDirectory(folder);
  writeAtomically(`${folder}/${DONE}`, `${JSON.stringify({ files: digests }, null, 2)}\n`);
}

/** Moves the new folder into place; one of the same step is removed only after that. */
function replace(temporary: string, path: string): void {
  const root = path.slice(0, path.lastIndexOf("/"));
  const old = `${root}/.${path.slice(root.length + 1)}.old`;
  if (exists(path)) Deno.renameSync(path, old);
  Deno.renameSync(temporary, path);
  syncDirectory(root);
  if (exists(old)) Deno.removeSync(old, { recursive: true });
}
