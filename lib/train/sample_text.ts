/** Drawing text from a model. @module */

import type { Device } from "../autograd/device.ts";
import { philox4x32, philoxKey } from "../data/philox.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { LanguageModel } from "../nn/language_model.ts";
import { read } from "../tensor/transfer.ts";

/** Settings of {@linkcode sampleText}. */
export interface SampleOptions {
  /** Text to continue; empty: the start of a document. */
  readonly prompt: string;
  /** Tokens to draw. */
  readonly tokens: number;
  /** What logits are divided by; 0: always the likeliest token. */
  readonly temperature: number;
  /** Longest context, the sequence of training. */
  readonly context: number;
  /** Seed of the draws. */
  readonly seed: number;
  /** Tells the draws of one step from those of another. */
  readonly step: number;
}

/** Philox operation number of text samples; weights use the numbers from 0 up. */
const OPERATION = 0xffff0001;

/**
 * Draws tokens one by one, each from the whole context so far.
 *
 * @param device Where the model lives.
 * @param model The model.
 * @param tokenizer The tokenizer it was trained with.
 * @param options Prompt, length, temperature, seed.
 * @returns The prompt and what followed, up to the end of the document.
 */
export async function sampleText(
  device: Device,
  model: LanguageModel,
  tokenizer: Tokenizer,
  options: SampleOptions,
): Promise<string> {
  const tokens = [tokenizer.endOfDocument, ...tokenizer.encode(options.prompt)];
  const start = tokens.length;
  const key = philoxKey(options.seed);
  for (let drawn = 0; drawn < options.tokens; drawn++) {
    using _scope = device.noGradient();
    const context = device.tokens(tokens.slice(-options.context));
    const logits = await read(model.nextLogits(context));
    const [word = 0] = philox4x32([drawn, 0, OPERATION, options.step], key);
    const token = drawToken(logits, options.temperature, word * 2 ** -32);
    if (token === tokenizer.endOfDocument) break;
    tokens.push(token);
  }
  return options.prompt + tokenizer.decode(tokens.slice(start));
}

/**
 * The token at which the cumulated probability passes `uniform`.
 *
 * @param logits One a token.
 * @param temperature What they are divided by; 0: the likeliest token.
 * @param uniform A number from 0 up to 1.
 */
function drawToken(logits: Float32Array, temperature: number, uniform: number): number {
  const best = logits.reduce((at, logit, i) => logit > logits[at]! ? i : at, 0);
  if (temperature === 0) return best;
  const weights = Float64Array.from(
    logits,
    (logit) => Math.exp((logit - logits[best]!) / temperature),
  );
  let left = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  for (let token = 0; token < weights.length; token++) {
    left -= weights[token]!;
    if (left < 0) return token;
  }
  return best;
}
