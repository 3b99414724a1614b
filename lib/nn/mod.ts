/** Building blocks of a LLaMA-style language model. @module */

export { Attention, type AttentionOptions } from "./attention.ts";
export { Embedding, type EmbeddingOptions } from "./embedding.ts";
export { FeedForward, type FeedForwardOptions } from "./feed_forward.ts";
export { KeyValueCache, type KeyValueCacheOptions } from "./key_value_cache.ts";
export type { LayerCache } from "./layer_cache.ts";
export { LanguageModel } from "./language_model.ts";
export type { LanguageModelOptions } from "./language_model_options.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export type { NewTokens } from "./new_tokens.ts";
export type { QkNormName, QkvOptions } from "./qkv_options.ts";
export { RmsNorm, type RmsNormOptions } from "./rms_norm.ts";
export type { TokenScores } from "./token_scores.ts";
export {
  type FeedForwardLayer,
  TransformerBlock,
  type TransformerBlockOptions,
} from "./transformer_block.ts";
