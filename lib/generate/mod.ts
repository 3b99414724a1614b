/**
 * Text generation: continues prompts using a key/value cache, with temperature, top-k and top-p
 * sampling.
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
