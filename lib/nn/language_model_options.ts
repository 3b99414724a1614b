/** Settings of language models, checked. @module */

import { requireOptions, shown } from "../arguments.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import type { FeedForwardLayer } from "./transformer_block.ts";

/** Settings of {@linkcode LanguageModel}. */
export interface LanguageModelOptions {
  /** Number of tokens of the vocabulary. */
  vocabulary: number;
  /** Number of blocks. */
  layers: number;
  /** Size of a hidden state. */
  hidden: number;
  /** Query heads. */
  heads: number;
  /** Groups of heads that share keys and values. Default `heads`. */
  groups?: number;
  /** Base of the rotary angles. Default 1e6. */
  ropeBase?: number;
  /** Epsilon of the norms. Default 1e-5. */
  normEpsilon?: number;
  /**
   * Standard deviation of the initial weights; projections that write into the residual stream
   * get it divided by √(2 · layers). Default 0.01 · √(768 / hidden).
   */
  deviation?: number;
  /** Makes the second half of a block; the model disposes of it. */
  feedForward: (layer: number) => FeedForwardLayer;
}

/** Settings of which those that were left out are filled in, the deviations of weights worked out. */
export interface ModelSettings extends LanguageModelOptions {
  readonly groups: number;
  readonly deviation: number;
  /** Of the projections that write into the residual stream. */
  readonly outputDeviation: number;
}

/** Refuses what is out of its range, and fills in what is left out. */
export function modelSettings(options: LanguageModelOptions): ModelSettings {
  requireOptions("build a language model", options, {
    vocabulary: true,
    layers: true,
    hidden: true,
    heads: true,
    groups: true,
    ropeBase: true,
    normEpsilon: true,
    deviation: true,
    feedForward: true,
  });
  const { vocabulary, layers, hidden, heads, groups = heads, feedForward } = options;
  requireSizes("build a language model", { vocabulary, layers, hidden, heads });
  if (typeof feedForward !== "function") {
    throw new ConfigError(
      `Cannot build a language model: feedForward is ${shown(feedForward)}, ` +
        `expected a function that makes a block's second half`,
    );
  }
  const { deviation = initialDeviation(hidden) } = options;
  requireNumbers("build a language model", { deviation }, { least: 0 });
  // As they were checked: a getter may say something else the next time.
  const checked = { vocabulary, layers, hidden, heads, groups, feedForward, deviation };
  return { ...options, ...checked, outputDeviation: deviation / Math.sqrt(2 * layers) };
}
