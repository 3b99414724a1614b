/**
 * Text generation: continues prompts using a key/value cache, with temperature, top-k and top-p
 * sampling.
 *
 * @module
 */

export { type DrawOptions, drawToken } from "./draw_token.ts";
export { generate, type GeneratedPiece, type GenerateOptions } from "./generate.ts";
export type { FinishReason } from "./growing_text.ts";
export { LogitsError } from "./logits_error.ts";
