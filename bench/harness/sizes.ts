/** The sizes to time: those of the presets. @module */

import { parseConfig, type PresetName, type TrainConfig } from "../../lib/train/mod.ts";

/** A model's sizes, for the cases. */
export interface Sizes {
  /** The preset. */
  readonly model: PresetName;
  /** Its full configuration. */
  readonly config: TrainConfig;
  readonly hidden: number;
  readonly heads: number;
  readonly groups: number;
  readonly headDim: number;
  /** Columns of the fused projection of queries, keys and values. */
  readonly columns: number;
  /** Width of a full-size expert. */
  readonly ffn: number;
  readonly vocabulary: number;
  /** Sequences per micro-batch. */
  readonly batch: number;
  /** Tokens per sequence. */
  readonly sequence: number;
  /** Tokens per micro-batch. */
  readonly tokens: number;
  /** Tokens for the experts at the target sparsity: fewer where a call would take seconds. */
  readonly expertTokens: number;
  /** Tokens for the output head: fewer for the same reason. */
  readonly headTokens: number;
}

/** Sequences of the paper's length per micro-batch; two keep a call below a second on two cores. */
const MICRO_BATCH = 2;

/** Sequences per micro-batch, and tokens for the heavy cases. */
const TOKENS: Partial<Record<PresetName, { batch: number; experts: number; head: number }>> = {
  nano: { batch: 16, experts: 4096, head: 4096 },
  "182m": { batch: MICRO_BATCH, experts: 2048, head: 256 },
  "469m": { batch: MICRO_BATCH, experts: 1024, head: 256 },
  "978m": { batch: MICRO_BATCH, experts: 512, head: 128 },
};

/** The models to time: the default one and the paper's three. */
export const MODELS: readonly Sizes[] = (["nano", "182m", "469m", "978m"] as const).map(sizesOf);

/** The paper's numbers of experts; only its smallest model has all of them. */
export const EXPERT_COUNTS: readonly number[] = [4, 8, 16, 32, 64, 128];

/** The paper's granularities. */
export const GRANULARITIES: readonly number[] = [1, 2, 4, 8, 16, 32, 64];

/**
 * Returns a preset's sizes.
 *
 * @param model The preset.
 * @returns Its sizes.
 */
export function sizesOf(model: PresetName): Sizes {
  const config = parseConfig({ preset: model });
  const { hidden, heads, groups, ffn, vocabulary } = config.model;
  const { sequence } = config.data;
  const { batch, experts, head } = TOKENS[model] ??
    { batch: 1, experts: sequence, head: sequence };
  const headDim = hidden / heads;
  return {
    model,
    config,
    hidden,
    heads,
    groups,
    headDim,
    columns: (heads + 2 * groups) * headDim,
    ffn,
    vocabulary,
    batch,
    sequence,
    tokens: batch * sequence,
    expertTokens: experts,
    headTokens: head,
  };
}

/** Experts and their routing: one row of the paper's tables. */
export interface Mixture {
  /** Experts per layer, E·G. */
  readonly experts: number;
  /** Active experts per token, k·G. */
  readonly active: number;
  /** Width of each expert. */
  readonly width: number;
  /** Whether it is timed only with `--full`. */
  readonly full: boolean;
}

/** Numbers of experts and granularities that are always timed; others only with `--full`. */
const ALWAYS = { experts: [8, 32, 64], granularities: [1, 8, 64] } as const;

/**
 * Lists the mixtures of a model: E=8 and k=1 for every model, and every E and G of the paper for
 * its smallest.
 *
 * @param sizes The model.
 * @returns Distinct mixtures, the default one first.
 */
export function mixturesOf({ model, ffn }: Sizes): readonly Mixture[] {
  const plain: Mixture = { experts: 8, active: 1, width: ffn, full: false };
  if (model !== "182m") return [plain];
  const byExperts = EXPERT_COUNTS.filter((experts) => experts !== 8).map((experts) => ({
    ...plain,
    experts,
    full: !ALWAYS.experts.some((always) => always === experts),
  }));
  const byGranularity = GRANULARITIES.filter((parts) => parts !== 1).map((parts) => ({
    experts: 8 * parts,
    active: parts,
    width: ffn / parts,
    full: !ALWAYS.granularities.some((always) => always === parts),
  }));
  return [plain, ...byExperts, ...byGranularity];
}
