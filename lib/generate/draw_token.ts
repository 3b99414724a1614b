import { shown } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { LogitsError } from "./logits_error.ts";

/** How a token is drawn from logits. */
export interface DrawOptions {
  /** Divisor of the logits; 0 always takes the likeliest token. Default 1. */
  readonly temperature?: number;
  /** Draws only from the k likeliest tokens. Default: all. */
  readonly topK?: number;
  /**
   * Draws only from the nucleus: the smallest set of likeliest tokens whose probabilities, taken
   * over all tokens, sum to at least p. Default 1: all tokens.
   */
  readonly topP?: number;
}

/** A token and its unnormalised probability. */
interface Candidate {
  readonly token: number;
  /** Breaks ties between weights: at high temperatures most weights round to 1. */
  readonly logit: number;
  readonly weight: number;
}

/** Exceeds the rounding error of a sum over a vocabulary: seven tokens of 0.1 must reach 0.7. */
const ROUNDING = 1e-12;

/**
 * Draws a token from softmax(logits / temperature), restricted to the k likeliest tokens and to the
 * nucleus of probability p. Both cuts are relative to the full distribution, so a token must pass
 * both. Libraries that apply p to what top-k leaves keep fewer tokens.
 *
 * @param logits `[vocabulary]`; -Infinity for tokens that must not be drawn.
 * @param uniform A uniform random number in [0, 1).
 * @param options Temperature and cuts.
 * @returns The token; among equal logits, lower token ids count as likelier.
 * @throws {ConfigError} If an option or `uniform` is out of range.
 * @throws {LogitsError} If there are no logits, one is NaN or Infinity, or all are -Infinity.
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
  const problem = drawProblem(options) ?? uniformProblem(uniform) ?? logitsProblem(logits);
  if (problem !== null) throw new ConfigError(`Cannot draw a token: ${problem}`);
  const { temperature = 1, topK = logits.length, topP = 1 } = options;
  const best = likeliestToken(logits);
  if (temperature === 0) return best;
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let token = 0; token < logits.length; token++) {
    total += weights[token] = Math.exp((logits[token]! - logits[best]!) / temperature);
  }
  if (topK >= logits.length && topP >= 1) return pick(weights, uniform * total);
  const chosen = likeliest(weights, total, topK, topP, logits);
  const candidates = topP < 1 ? nucleus(chosen, topP * total) : chosen;
  const sum = candidates.reduce((all, { weight }) => all + weight, 0);
  const at = pick(Float64Array.from(candidates, ({ weight }) => weight), uniform * sum);
  return candidates[at]!.token;
}

/**
 * Checks the options of a draw.
 *
 * @param options Temperature and cuts.
 * @returns The first invalid option, its value and the values allowed; null if all are valid.
 */
export function drawProblem(options: DrawOptions): string | null {
  if (typeof options !== "object" || options === null) {
    return `its options are ${shown(options)}, expected an object`;
  }
  const { temperature, topK, topP } = options;
  const isNumber = (value: unknown): value is number => typeof value === "number";
  if (
    temperature !== undefined &&
    !(isNumber(temperature) && temperature >= 0 && temperature < Infinity)
  ) {
    return `temperature is ${temperature}, expected a number of at least 0`;
  }
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
    return `top-k is ${topK}, expected a whole number of at least 1`;
  }
  if (topP !== undefined && !(isNumber(topP) && topP > 0 && topP <= 1)) {
    return `top-p is ${topP}, expected a number above 0 and at most 1`;
  }
  return null;
}

function uniformProblem(uniform: number): string | null {
  const isIn = typeof uniform === "number" && uniform >= 0 && uniform < 1;
  return isIn ? null : `uniform is ${uniform}, expected a number of at least 0 and below 1`;
}

function logitsProblem(logits: unknown): string | null {
  return logits instanceof Float32Array ? null : "logits is not a Float32Array";
}

function likeliestToken(logits: Float32Array): number {
  const fail = (reason: string): never => {
    throw new LogitsError(`Cannot draw a token: ${reason}`);
  };
  let best = 0;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!;
    if (!(logit < Infinity)) fail(`the logit of token ${token} is ${logit}`);
    if (logit > logits[best]!) best = token;
  }
  if (logits.length === 0) fail("there are no logits");
  if (logits[best] === -Infinity) fail("all logits are -Infinity");
  return best;
}

/** Index at which the cumulative weight exceeds `mark`; never one whose weight is 0. */
function pick(weights: Float64Array, mark: number): number {
  let left = mark;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    left -= weights[i]!;
    if (left < 0) return i;
    last = i;
  }
  // Rounding may leave a mark near the total uncovered.
  return last;
}

/**
 * The k likeliest tokens, likeliest first. With topP < 1, tokens below (1 - p) / V of the total are
 * dropped before sorting: together they hold less than 1 - p, so none is in the nucleus. Of 50,000
 * tokens that leaves a few hundred to sort.
 */
function likeliest(
  weights: Float64Array,
  total: number,
  topK: number,
  topP: number,
  logits: Float32Array,
): Candidate[] {
  const least = Math.max(
    topK >= weights.length ? 0 : kthLargest(weights, topK),
    (total * (1 - topP)) / weights.length,
  );
  const candidates: Candidate[] = [];
  for (let token = 0; token < weights.length; token++) {
    const weight = weights[token]!;
    if (weight >= least) candidates.push({ token, weight, logit: logits[token]! });
  }
  return candidates.sort((a, b) => b.logit - a.logit || a.token - b.token).slice(0, topK);
}

function kthLargest(weights: Float64Array, k: number): number {
  return weights.toSorted()[weights.length - k]!;
}

/** The shortest prefix of the candidates that reaches `mass`, or all of them. */
function nucleus(candidates: readonly Candidate[], mass: number): readonly Candidate[] {
  const enough = mass * (1 - ROUNDING);
  let [count, sum] = [0, 0];
  while (count < candidates.length && sum < enough) sum += candidates[count++]!.weight;
  return candidates.slice(0, Math.max(1, count));
}
