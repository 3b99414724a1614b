/** What other families' attention has besides LLaMA's. @module */

import { requireFlag, requireOneOf } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";

/**
 * Which columns of the queries, and of the keys, are normalised together: `full` all heads', as in
 * OLMoE, `head` each head's, as in Qwen3. Either has a learned scale per normalised column.
 */
export type QkNormName = "none" | "full" | "head";

/** The names of the norms of queries and keys. */
export const QK_NORM_NAMES: readonly QkNormName[] = ["none", "full", "head"];

/** Settings of the projection to queries, keys and values; by default it is LLaMA's. */
export interface QkvOptions {
  /** Size of a head, an even integer. Default `hidden / heads`. */
  headDim?: number;
  /** Whether a bias, 0 at first, is added to queries, keys and values, as in Qwen2. Default false. */
  qkvBias?: boolean;
  /** How queries and keys are normalised before they are rotated. Default `none`. */
  qkNorm?: QkNormName;
  /** Largest size of an element of the queries, keys and values, as in OLMoE. Default no limit. */
  clipQkv?: number;
}

/** The names of {@linkcode QkvOptions}, for checks of unknown ones. */
export const QKV_OPTION_NAMES: Readonly<Record<keyof QkvOptions, true>> = {
  headDim: true,
  qkvBias: true,
  qkNorm: true,
  clipQkv: true,
};

/** Sizes of a model's heads. */
interface HeadSizes extends QkvOptions {
  readonly hidden: number;
  readonly heads: number;
  readonly groups: number;
}

/** Checked settings of a projection. */
export interface QkvSettings {
  readonly headDim: number;
  readonly qkvBias: boolean;
  readonly qkNorm: QkNormName;
  /** Infinity: no limit. */
  readonly clipQkv: number;
}

/** Checks the settings and fills in the defaults. */
export function qkvSettings(
  operation: string,
  { hidden, heads, groups, ...options }: HeadSizes,
): QkvSettings {
  const { headDim = hidden / heads, qkvBias = false, qkNorm = "none", clipQkv } = options;
  if (options.headDim !== undefined) requireSizes(operation, { headDim });
  requireFlag(operation, "qkvBias", qkvBias);
  requireOneOf(operation, "qkNorm", qkNorm, QK_NORM_NAMES);
  if (clipQkv !== undefined) requireNumbers(operation, { clipQkv }, { above: 0 });
  if (!Number.isInteger(headDim) || headDim % 2 !== 0 || heads % groups !== 0) {
    throw new ConfigError(
      options.headDim === undefined
        ? `Cannot ${operation} of hidden size ${hidden} with ${heads} heads in ${groups} groups: ` +
          `hidden / heads must be an even integer and heads divisible by groups`
        : `Cannot ${operation} with ${heads} heads of size ${headDim} in ${groups} groups: ` +
          `headDim must be even and heads divisible by groups`,
    );
  }
  requireSizes(operation, { "(heads + 2 · groups) · headDim": (heads + 2 * groups) * headDim });
  return { headDim, qkvBias, qkNorm, clipQkv: clipQkv ?? Infinity };
}
