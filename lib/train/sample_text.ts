/** Text sampled from a model in training. @module */

import { generate, type GenerateOptions } from "../generate/generate.ts";

/** What {@linkcode sampleText} needs besides the prompt. */
export type SampleOptions = Pick<
  GenerateOptions,
  "device" | "model" | "tokenizer" | "tokens" | "temperature" | "seed" | "stream"
>;

/**
 * Continues a text until all tokens are drawn or the model ends the document.
 *
 * @param prompt Text to continue; empty: the start of a document.
 * @param options Model, tokenizer and how to sample.
 * @returns The prompt and its continuation.
 */
export async function sampleText(prompt: string, options: SampleOptions): Promise<string> {
  const pieces = await Array.fromAsync(generate([prompt], options), ({ text }) => text);
  return prompt + pieces.join("");
}
