import { logSumExp, softmax } from "./reduction.ts";

/** Which pairs are routed. */
export interface Routing {
  /** One bit per (token, expert) pair, [T, ceil(E/32)]. */
  readonly mask: Int32Array;
  /** Tokens of each expert, [E]. */
  readonly counts: Int32Array;
}

/**
 * Equation 5: gates = ReLU(logits).
 *
 * @param logits x W, [T, E].
 * @returns Gates [T, E].
 */
export function reluGates(logits: Float64Array): Float64Array {
  return logits.map((logit) => Math.max(logit, 0));
}

/** The activations of the ReLU router, by name. */
export type GateName = "relu" | "reluSquared" | "tanh";

/**
 * The gates of any of the activations.
 *
 * @param activation The activation.
 * @param logits x W, [T, E].
 * @returns Gates [T, E].
 */
export function activatedGates(activation: GateName, logits: Float64Array): Float64Array {
  const gates = reluGates(logits);
  if (activation === "relu") return gates;
  return gates.map((gate) => activation === "tanh" ? Math.tanh(gate) : gate ** 2);
}

/**
 * The hash router: gate 1 for the expert that a token's id is congruent to.
 *
 * @param ids Token ids, [T].
 * @param experts E.
 * @returns Gates [T, E].
 */
export function hashGates(ids: Int32Array, experts: number): Float64Array {
  const gates = new Float64Array(ids.length * experts);
  ids.forEach((id, t) => gates[t * experts + (id % experts + experts) % experts] = 1);
  return gates;
}

/**
 * Finds which pairs are routed from their values.
 *
 * @param values [T, E].
 * @param experts E.
 * @returns Bits and counts of the values other than 0, NaN included.
 */
export function routingOf(values: ArrayLike<number>, experts: number): Routing {
  const tokens = values.length / experts;
  const words = Math.ceil(experts / 32);
  const mask = new Int32Array(tokens * words);
  const counts = new Int32Array(experts);
  for (let t = 0; t < tokens; t++) {
    for (let e = 0; e < experts; e++) {
      if (values[t * experts + e] === 0) continue;
      mask[t * words + (e >> 5)]! |= 1 << (e & 31);
      counts[e]!++;
    }
  }
  return { mask, counts };
}

/**
 * Sums the columns of [T, E].
 *
 * @param x Numbers [T, E].
 * @param experts E.
 * @returns Sums [E].
 */
export function columnSums(x: ArrayLike<number>, experts: number): Float64Array {
  const sums = new Float64Array(experts);
  for (let i = 0; i < x.length; i++) sums[i % experts]! += x[i]!;
  return sums;
}

/** The regularisations of the ReLU router, by name. */
export type BalanceName = "none" | "plain" | "load" | "switch" | "loadSquared";

/**
 * The weights f_e of equations 9 (plain) and 10 (load, and its square).
 *
 * @param balance The regularisation.
 * @param counts Tokens of each expert, [E].
 * @param tokens T.
 * @param active k.
 * @returns f [E].
 */
export function balanceWeights(
  balance: BalanceName,
  counts: ArrayLike<number>,
  tokens: number,
  active: number,
): number[] {
  const experts = counts.length;
  return Array.from(counts, (count) => {
    if (balance === "none") return 0;
    if (balance === "plain") return 1;
    return ((experts * count) / (active * tokens)) ** (balance === "loadSquared" ? 2 : 1);
  });
}

/** What {@linkcode topkGates} gives. */
export interface TopkRouting {
  /** [T, E], 0 where a pair is not routed. */
  readonly gates: Float64Array;
  /** [T, E], the softmax over all experts. */
  readonly probabilities: Float64Array;
  /** [T, E], 1 where a pair is routed, else 0. */
  readonly chosen: Float64Array;
  /** [T], log-sum-exp of each token's logits. */
  readonly normalizer: Float64Array;
}

/**
 * TopK: the probabilities of the k largest logits of each token, the lower expert first among equals.
 *
 * @param logits x W, [T, E].
 * @param experts E.
 * @param active k.
 * @param renormalize Whether the gates are divided by their sum.
 * @returns Gates, probabilities, and 1 where a pair is routed, all [T, E]; normalizers [T].
 */
export function topkGates(
  logits: Float64Array,
  experts: number,
  active: number,
  renormalize: boolean,
): TopkRouting {
  const probabilities = softmax(logits, experts);
  const gates = new Float64Array(logits.length);
  const chosenPairs = new Float64Array(logits.length);
  const normalizer = new Float64Array(logits.length / experts);
  for (let start = 0; start < logits.length; start += experts) {
    const row = probabilities.subarray(start, start + experts);
    const own = logits.subarray(start, start + experts);
    const chosen = Array.from(row.keys()).sort((i, j) => own[j]! - own[i]! || i - j)
      .slice(0, active);
    const sum = chosen.reduce((total, e) => total + row[e]!, 0);
    for (const e of chosen) {
      gates[start + e] = row[e]! / (renormalize ? sum : 1);
      chosenPairs[start + e] = 1;
    }
    normalizer[start / experts] = logSumExp(own);
  }
  return { gates, probabilities, chosen: chosenPairs, normalizer };
}

/** What {@linkcode sigmoidGates} gives. */
export interface SigmoidRouting {
  /** [T, E], 0 where a pair is not routed. */
  readonly gates: Float64Array;
  /** [T, E], sigmoid of the logits. */
  readonly scores: Float64Array;
  /** [T, E], 1 where a pair is routed, else 0. */
  readonly chosen: Float64Array;
}

/**
 * Sigmoid routing: the scores of the k experts with the largest score + bias, the lower expert first
 * among equals.
 *
 * @param logits x W, [T, E].
 * @param bias Added to the scores for the choice only, [E].
 * @param active k.
 * @param normalize Whether a token's gates are divided by their sum plus 1e-20.
 * @returns Gates, scores, and 1 where a pair is routed, all [T, E].
 */
export function sigmoidGates(
  logits: Float64Array,
  bias: ArrayLike<number>,
  active: number,
  normalize: boolean,
): SigmoidRouting {
  const experts = bias.length;
  const scores = logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  const gates = new Float64Array(logits.length);
  const chosenPairs = new Float64Array(logits.length);
  for (let start = 0; start < logits.length; start += experts) {
    const row = scores.subarray(start, start + experts);
    const rank = row.map((score, e) => score + bias[e]!);
    const chosen = Array.from(row.keys()).sort((i, j) => rank[j]! - rank[i]! || i - j)
      .slice(0, active);
    const sum = chosen.reduce((total, e) => total + row[e]!, 0);
    for (const e of chosen) {
      gates[start + e] = row[e]! / (normalize ? sum + 1e-20 : 1);
      chosenPairs[start + e] = 1;
    }
  }
  return { gates, scores, chosen: chosenPairs };
}
