/**
 * `state.json` of a checkpoint: what a run needs besides its tensors to resume bit for bit.
 *
 * @module
 */

import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { systemReason } from "../system_reason.ts";
import { STAGES, type StageState } from "./stage.ts";

/** The weights that a run started from. Tensors are named as in the file, layers and experts by `*`. */
export interface InitRecord {
  /** Folder of the checkpoint. */
  readonly from: string;
  /** Steps that its run had taken. */
  readonly step: number;
  /** SHA-256 of its `model.safetensors`. */
  readonly sha256: string;
  /** Tensors taken as they were. */
  readonly taken: readonly string[];
  /** Tensors of dense layers that were copied into experts. */
  readonly copied: readonly string[];
  /** Tensors of the new model that kept their random values. */
  readonly new: readonly string[];
  /** Tensors of the checkpoint that were not used. */
  readonly left: readonly string[];
  /** Per layer that was copied into experts, the factor of what its experts put out. */
  readonly scale: readonly number[];
}

/** The state of a run besides weights and moments; plain JSON. */
export interface CheckpointState {
  /** Version of this layout. */
  readonly format: 1;
  /** Optimizer steps taken. */
  readonly step: number;
  /** Tokens seen. */
  readonly tokens: number;
  /** λ for the next step; JSON preserves all 64 bits. */
  readonly lambda: number;
  /** `excess` of λ's proportional rule; absent where it is 0, as under equation 7. */
  readonly lambda_excess?: number | undefined;
  /** The stage the run is in. */
  readonly stage: StageState;
  /** The data sampler's own state. */
  readonly sampler: unknown;
  /** `Corpus.contentHash` of the run's text; checkpoints of early versions lack it. */
  readonly text?: string | undefined;
  /** Seed of the run. */
  readonly seed: number;
  /** `configHash()` of the run's configuration. */
  readonly config_hash: string;
  /** The router's file and its SHA-256, if the router is not built in. */
  readonly router?: { readonly path: string; readonly sha256: string } | undefined;
  /** Device, instruction set, threads and GEMM that computed it; early checkpoints lack it. */
  readonly machine?: Readonly<Record<string, string>> | undefined;
  /** What the run started from, if not from random weights. */
  readonly init?: InitRecord | undefined;
  /** Versions of the software that wrote the checkpoint, such as `remoe` and `deno`. */
  readonly versions: Readonly<Record<string, string>>;
}

/** The newest layout this version knows. */
const FORMAT = 1;

const count = z.int().min(0);

const names = z.array(z.string());

const INIT = z.strictObject({
  from: z.string(),
  step: count,
  sha256: z.string(),
  taken: names,
  copied: names,
  new: names,
  left: names,
  scale: z.array(z.number()),
});

const STATE = z.strictObject({
  format: z.literal(FORMAT),
  step: count,
  tokens: count,
  lambda: z.number().min(0),
  lambda_excess: z.number().optional(),
  stage: z.strictObject({
    stage: z.enum(STAGES),
    sparsifying_from: count.nullable(),
    sparse_from: count.nullable(),
  }),
  sampler: z.json({ error: "expected what JSON can hold" }),
  text: z.string().optional(),
  seed: count,
  config_hash: z.string(),
  router: z.strictObject({ path: z.string(), sha256: z.string() }).optional(),
  machine: z.record(z.string(), z.string()).optional(),
  init: INIT.optional(),
  versions: z.record(z.string(), z.string()),
});

/**
 * Reads and checks a `state.json`.
 *
 * @param path The file.
 * @returns The state.
 * @throws {CheckpointError} The file cannot be read or is malformed; names the first wrong key.
 */
export function readCheckpointState(path: string): CheckpointState {
  let input: unknown;
  try {
    input = JSON.parse(Deno.readTextFileSync(path));
  } catch (cause) {
    const reason = cause instanceof SyntaxError ? "it is not JSON" : systemReason(cause);
    throw new CheckpointError(`Cannot read ${path}: ${reason}`, { cause });
  }
  const format = (input as { format?: unknown } | null)?.format;
  if (typeof format === "number" && format > FORMAT) {
    throw new CheckpointError(
      `Cannot read ${path}: it is of format ${format} and this version of remoe reads ${FORMAT}; ` +
        `use the version that wrote it, or a newer one`,
    );
  }
  const result = STATE.safeParse(input);
  if (result.success) return result.data;
  throw new CheckpointError(`Cannot read ${path}: ${firstIssue(result.error)}`, {
    cause: result.error,
  });
}

/**
 * Checks that a state could be read back.
 *
 * @param state The state.
 * @returns The same state.
 * @throws {CheckpointError} It could not; names the first wrong key.
 */
export function checkCheckpointState(state: CheckpointState): CheckpointState {
  const result = STATE.safeParse(state);
  if (result.success) return state;
  throw new CheckpointError(`Cannot write the checkpoint: state.${firstIssue(result.error)}`, {
    cause: result.error,
  });
}

/** The first wrong key and what is wrong with it. */
function firstIssue({ issues: [issue] }: z.ZodError): string {
  const { path = [], message = "" } = issue ?? {};
  return `${path.join(".") || "the whole"}: ${message}`;
}
