/** The operations in plain TypeScript, and inputs on which every order of addition agrees. */

import {
  type GradientInput,
  type Plan,
  type RouterInput,
  type RouterOutput,
  routerOutput,
} from "./operations.ts";

/** Uniform numbers in [0, 1) from a 32-bit state (Marsaglia's xorshift). */
export function uniform(seed: number): () => number {
  let state = (seed * 2654435761 + 1) >>> 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

/**
 * Inputs in eighths of at most 1: a product is a multiple of 1/64, and with at most a few thousand
 * of them every partial sum is exact in fp32. Whatever the order, the result has the same bits,
 * so that gates, masks and counts compare exactly. Logits of exactly 0 are frequent.
 */
export function exactInput(tokens: number, hidden: number, experts: number): RouterInput {
  const next = uniform(tokens * 131 + hidden * 17 + experts);
  const eighths = (count: number): Float32Array<ArrayBuffer> =>
    Float32Array.from({ length: count }, () => (Math.floor(next() * 17) - 8) / 8);
  return { tokens, hidden, experts, x: eighths(tokens * hidden), w: eighths(hidden * experts) };
}

/** Inputs without structure, roughly normal. */
export function normalInput(tokens: number, hidden: number, experts: number): RouterInput {
  const next = uniform(tokens + hidden + experts);
  const normal = (count: number, scale: number): Float32Array<ArrayBuffer> =>
    Float32Array.from(
      { length: count },
      () => scale * (next() + next() + next() + next() - 2) * Math.sqrt(3),
    );
  const [x, w] = [normal(tokens * hidden, 1), normal(hidden * experts, 1 / Math.sqrt(hidden))];
  return { tokens, hidden, experts, x, w };
}

/** Equation 5, with the mask, the counts and the gate sums, in fp64. */
export function referenceRouter({ tokens, hidden, experts, x, w }: RouterInput): RouterOutput {
  const out = routerOutput(tokens, experts);
  const words = Math.ceil(experts / 32);
  const sums = new Float64Array(experts);
  for (let t = 0; t < tokens; t++) {
    for (let e = 0; e < experts; e++) {
      let logit = 0;
      for (let d = 0; d < hidden; d++) logit += x[t * hidden + d]! * w[d * experts + e]!;
      if (logit <= 0) continue;
      out.gates[t * experts + e] = logit;
      out.mask[t * words + (e >> 5)]! |= 1 << (e & 31);
      out.counts[e]!++;
      sums[e]! += logit;
    }
  }
  out.gateSums.set(sums);
  return out;
}

/** Equations 9 to 11 as they enter the gradient, in fp64. */
export function referenceGradient(input: GradientInput): Float32Array<ArrayBuffer> {
  const { tokens, experts, gates, dgates, counts } = input;
  const load = (e: number): number =>
    input.balance === 2 ? experts * counts[e]! / (input.active * tokens) : input.balance;
  return Float32Array.from(
    gates,
    (gate, i) => gate > 0 ? dgates[i]! + input.lambda * load(i % experts) * input.scale : 0,
  );
}

/** The plan by its definition: rows expert-major with tokens ascending, then the other way round. */
export function referencePlan(
  gates: Float32Array<ArrayBuffer>,
  tokens: number,
  experts: number,
  capacity: number,
): Plan {
  const isActive = (t: number, e: number): boolean => gates[t * experts + e] !== 0;
  const rowToken: number[] = [];
  const expertOffset = [0];
  const rowsOf: number[][] = Array.from({ length: tokens }, () => []);
  for (let e = 0; e < experts; e++) {
    for (let t = 0; t < tokens; t++) {
      if (!isActive(t, e)) continue;
      rowsOf[t]!.push(rowToken.length);
      rowToken.push(t);
    }
    expertOffset.push(rowToken.length);
  }
  const tokenOffset = [0];
  for (const rows of rowsOf) tokenOffset.push(tokenOffset.at(-1)! + rows.length);
  const without = rowsOf.filter((rows) => rows.length === 0).length;
  const overflow = rowToken.length > capacity;
  const valid = (values: number[]): Int32Array<ArrayBuffer> =>
    Int32Array.from(overflow ? [] : values);
  return {
    header: Int32Array.of(rowToken.length, overflow ? 1 : 0, without, capacity),
    expertOffset: valid(expertOffset),
    tokenOffset: valid(tokenOffset),
    rowToken: valid(rowToken),
    tokenRow: valid(rowsOf.flat()),
  };
}

/** Gates with about the given share active; every fifth expert idle, every seventh token empty. */
export function someGates(
  tokens: number,
  experts: number,
  share: number,
): Float32Array<ArrayBuffer> {
  const next = uniform(tokens * 7 + experts);
  return Float32Array.from({ length: tokens * experts }, (_, i) => {
    const [t, e] = [Math.floor(i / experts), i % experts];
    const idle = e % 5 === 4 || t % 7 === 3;
    return next() < share && !idle ? next() + 0.01 : 0;
  });
}
