/**
 * The folders of a run's checkpoints, `step-NNNNNN/`, and the files in them.
 *
 * A checkpoint is written under a temporary name and synced, its marker comes last, and then it is
 * renamed. A run killed at any moment leaves complete checkpoints, plus leftovers that lack the
 * name or the marker and are ignored. The marker holds the size and SHA-256 of each file, so damage
 * is found before a run continues from it.
 *
 * @module
 */

import { requirePath, requireWhole } from "../arguments.ts";
import { exists, onPath } from "../files.ts";

/** The weights. */
export const MODEL = "model.safetensors";
/** The optimizer's moments. */
export const OPTIMIZER = "optimizer.safetensors";
/** Everything that is not a tensor. */
export const STATE = "state.json";
/** The marker of a complete checkpoint. */
export const DONE = "DONE";

/** A checkpoint's folder. */
export interface CheckpointFolder {
  /** Steps taken when the checkpoint was written. */
  readonly step: number;
  /** Its path. */
  readonly path: string;
}

/**
 * Lists the complete checkpoints of a run: those with a marker.
 *
 * @param root The folder that holds the checkpoints; a missing folder holds none.
 * @returns The checkpoints, newest first.
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
  requirePath("list checkpoints", "root", root);
  return entriesOf(root)
    .map((name) => ({ name, step: Number(/^step-(\d{6,})$/.exec(name)?.[1] ?? NaN) }))
    .filter(({ name, step }) => Number.isInteger(step) && exists(`${root}/${name}/${DONE}`))
    .map(({ name, step }) => ({ step, path: `${root}/${name}` }))
    .sort((a, b) => b.step - a.step);
}

/**
 * Removes the checkpoints of later steps before a run continues from an older one.
 *
 * @param root The folder that holds the checkpoints.
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
  requireWhole("remove checkpoints", "step", step);
  const later = listCheckpoints(root).filter((checkpoint) => checkpoint.step > step);
  later.forEach(({ path }) => removeCheckpoint(path));
  return later;
}

/** Removes the marker first: a half-removed checkpoint then counts as incomplete. */
export function removeCheckpoint(path: string): void {
  onPath("remove the checkpoint", path, () => {
    Deno.removeSync(`${path}/${DONE}`);
    Deno.removeSync(path, { recursive: true });
  });
}

/** Removes what a killed run left behind. The run directory's lock rules out a run in progress. */
export function removeRemains(root: string): void {
  for (const name of entriesOf(root)) {
    const isRemains = /^\.step-\d+\.(tmp|old)$/.test(name) ||
      /^step-\d+$/.test(name) && !exists(`${root}/${name}/${DONE}`);
    if (!isRemains) continue;
    const path = `${root}/${name}`;
    onPath("remove", path, () => Deno.removeSync(path, { recursive: true }));
  }
}

/** The name of a step's folder. */
export function folderName(step: number): string {
  return `step-${String(step).padStart(6, "0")}`;
}

function entriesOf(root: string): string[] {
  if (!exists(root)) return [];
  return onPath("read", root, () => Array.from(Deno.readDirSync(root), (entry) => entry.name));
}
