/**
 * Text from language models: prompts continued with a cache of keys and values, drawn by temperature,
 * top-k and top-p.
 *
 * @module
 */

export { type DrawOptions, drawToken } from "./draw_token.ts";
export {
  type FinishReason,
  generate,
  type GeneratedPiece,
  type GenerateOptions,
} from "./generate.ts";
export { LogitsError } from "./logits_error.ts";
