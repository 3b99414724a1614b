/** Settings of language models: checks and defaults. @module */

import { requireFlag, requireOptions, shown } from "../arguments.ts";
import { computeType } from "../autograd/compute_type.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import type { Real } from "../tensor/dtype.ts";
import { QKV_OPTION_NAMES, type QkvOptions } from "./qkv_options.ts";
import type { FeedForwardLayer } from "./transformer_block.ts";

/** Settings of {@linkcode LanguageModel}. */
export interface LanguageModelOptions<R extends Real = "f32"> extends QkvOptions {
  /** Number of tokens in the vocabulary. */
  vocabulary: number;
  /** Number of blocks. */
  layers: number;
  /** Size of a hidden state. */
  hidden: number;
  /** Query heads. */
  heads: number;
  /** Number of key/value head groups. Default `heads`. */
  groups?: number;
  /** Base of the rotary frequencies. Default 1e6. */
  ropeBase?: number;
  /** Epsilon of the norms. Default 1e-5. */
  normEpsilon?: number;
  /**
   * Standard deviation of the initial weights, divided by √(2 · layers) for projections that write
   * to the residual stream. Default 0.01 · √(768 / hidden).
   */
  deviation?: number;
  /** Whether the output head is the embedding, one parameter with both gradients. Default false. */
  tied?: boolean;
  /** Creates the feed-forward layer of a block, in the model's type; the model disposes of it. */
  feedForward: (layer: number) => FeedForwardLayer<NoInfer<R>>;
  /** The type of its activations and of what its products read; its weights are kept in fp32 besides. Default `f32`. */
  dtype?: R;
}

/** Settings with defaults filled in and the deviations derived. */
export interface ModelSettings<R extends Real> extends LanguageModelOptions<R> {
  readonly groups: number;
  readonly deviation: number;
  readonly dtype: R;
  readonly tied: boolean;
  /** Standard deviation for projections that write to the residual stream. */
  readonly outputDeviation: number;
}

/** Checks the options and fills in the defaults. */
export function modelSettings<R extends Real>(
  options: LanguageModelOptions<R>,
): ModelSettings<R> {
  requireOptions("build a language model", options, {
    vocabulary: true,
    layers: true,
    hidden: true,
    heads: true,
    groups: true,
    ropeBase: true,
    normEpsilon: true,
    deviation: true,
    ...QKV_OPTION_NAMES,
    tied: true,
    feedForward: true,
    dtype: true,
  });
  const { vocabulary, layers, hidden, heads, groups = heads, feedForward } = options;
  const { tied = false } = options;
  requireSizes("build a language model", { vocabulary, layers, hidden, heads });
  requireFlag("build a language model", "tied", tied);
  if (typeof feedForward !== "function") {
    throw new ConfigError(
      `Cannot build a language model: feedForward is ${shown(feedForward)}, ` +
        `expected a function that makes a block's second half`,
    );
  }
  const dtype = computeType("build a language model", options.dtype);
  const { deviation = initialDeviation(hidden) } = options;
  requireNumbers("build a language model", { deviation }, { least: 0 });
  // The values that were checked: a getter may return something else the next time.
  const checked = {
    vocabulary,
    layers,
    hidden,
    heads,
    groups,
    feedForward,
    deviation,
    dtype,
    tied,
  };
  return { ...options, ...checked, outputDeviation: deviation / Math.sqrt(2 * layers) };
}
