/** How a token is drawn from logits. */
export interface DrawOptions {
  /** What logits are divided by; 0: always the likeliest token. Default 1. */
  readonly temperature?: number;
  /** Draws from the k likeliest tokens only. Default: all. */
  readonly topK?: number;
  /** Draws from the fewest likeliest tokens whose probabilities reach p together. Default 1. */
  readonly topP?: number;
}

/** A token and its weight, not yet normalised. */
interface Candidate {
  readonly token: number;
  readonly weight: number;
}

/**
 * Draws a token: softmax of logits over temperature, cut to the k likeliest, then to the nucleus of
 * probability p.
 *
 * @param logits `[vocabulary]`.
 * @param uniform A number in [0, 1) that decides.
 * @param options Temperature and cuts.
 * @returns The token; of equal logits the lower one counts as likelier.
 *
 * @example
 * ```ts
 * import { drawToken } from "@remoe/remoe/generate";
 * import { assertEquals } from "@std/assert";
 *
 * const logits = Float32Array.of(0, 3, 2);
 * assertEquals(drawToken(logits, 0.99, { temperature: 0 }), 1);
 * assertEquals(drawToken(logits, 0.99, { topK: 2 }), 2);
 * assertEquals(drawToken(logits, 0.99, { topP: 0.5 }), 1);
 * ```
 */
export function drawToken(
  logits: Float32Array,
  uniform: number,
  options: DrawOptions = {},
): number {
  const { temperature = 1, topK = logits.length, topP = 1 } = options;
  let best = 0;
  for (let token = 1; token < logits.length; token++) {
    if (logits[token]! > logits[best]!) best = token;
  }
  if (temperature === 0) return best;
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let token = 0; token < logits.length; token++) {
    total += weights[token] = Math.exp((logits[token]! - logits[best]!) / temperature);
  }
  if (topK >= logits.length && topP >= 1) return pick(weights, uniform * total, best);
  const candidates = nucleus(likeliest(weights, total, topK, topP), topP);
  const sum = candidates.reduce((all, { weight }) => all + weight, 0);
  const at = pick(Float64Array.from(candidates, ({ weight }) => weight), uniform * sum, 0);
  return candidates[at]!.token;
}

function pick(weights: Float64Array, mark: number, otherwise: number): number {
  let left = mark;
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return i;
  }
  return otherwise;
}

/**
 * The k likeliest tokens, likeliest first. With topP < 1, tokens below (1 - p) / V of the total are
 * left out before sorting: all of them together are less than 1 - p, so none is in the nucleus of a
 * whole vocabulary, and of 50,000 tokens only some hundreds are to be sorted.
 */
function likeliest(
  weights: Float64Array,
  total: number,
  topK: number,
  topP: number,
): Candidate[] {
  const cuts = topK >= weights.length;
  const least = cuts ? (total * (1 - topP)) / weights.length : kthLargest(weights, topK);
  const candidates: Candidate[] = [];
  for (let token = 0; token < weights.length; token++) {
    const weight = weights[token]!;
    if (weight >= least) candidates.push({ token, weight });
  }
  return candidates.sort((a, b) => b.weight - a.weight || a.token - b.token).slice(0, topK);
}

function kthLargest(weights: Float64Array, k: number): number {
  return weights.toSorted()[weights.length - k]!;
}

function nucleus(candidates: readonly Candidate[], topP: number): readonly Candidate[] {
  const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
  let [count, mass] = [0, 0];
  while (count < candidates.length && mass < topP * total) mass += candidates[count++]!.weight;
  return candidates.slice(0, Math.max(1, count));
}
