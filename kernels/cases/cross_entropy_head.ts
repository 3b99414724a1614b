import type { Random } from "./random.ts";
import type { HeadSizes } from "./reference/cross_entropy.ts";
import { matmul } from "./reference/gemm.ts";
import { activations, type Real } from "./stored.ts";

/** Sizes of an output head, and which targets count. */
export interface CrossEntropyOptions extends HeadSizes {
  /** Share of the targets that are ignored; 0 by default. */
  readonly ignored?: number;
  /** Spread of the logits, 1 by default. */
  readonly scale?: number;
  /** Added to small integer logits, with a hidden size of 2, so their differences stay exact. */
  readonly offset?: number;
  /** Does not request the losses of single tokens. */
  readonly withoutTokenLoss?: boolean;
  /** Keeps the logits for the gradient, with this many elements per row. */
  readonly logitStride?: number;
  /** Element type of x, w and kept logits, fp32 by default. */
  readonly dtype?: Real;
}

export function crossEntropyName(operation: string, options: CrossEntropyOptions): string {
  const { tokens, hidden, vocabulary, ignored = 0, scale = 1, offset, logitStride } = options;
  return `${operation} [${tokens},${hidden}]x[${hidden},${vocabulary}]` +
    `${ignored === 0 ? "" : ` ${ignored * 100}% ignored`}` +
    `${scale === 1 ? "" : ` logits of ${scale}`}` +
    `${offset === undefined ? "" : ` whole logits from ${offset} on`}` +
    `${options.withoutTokenLoss ? " without token_loss" : ""}` +
    `${logitStride === undefined ? "" : ` logits kept ${logitStride} apart`}` +
    activations(options.dtype).suffix;
}

export function drawHead(random: Random, options: CrossEntropyOptions) {
  const { tokens, hidden, vocabulary, ignored = 0, scale = 1, offset } = options;
  const { store } = activations(options.dtype);
  const targets = random.integers(tokens, vocabulary).map((target) =>
    random.next() < ignored ? -1 - random.integer(100) : target
  );
  if (offset !== undefined) {
    const whole = random.integers(vocabulary, 8);
    const w = Float32Array.from([...Array.from(whole, () => offset), ...whole]);
    return { x: store(new Float32Array(2 * tokens).fill(1)), w: store(w), targets };
  }
  return {
    x: store(random.normal(tokens * hidden)),
    w: store(random.normal(hidden * vocabulary, { scale: scale / Math.sqrt(hidden) })),
    targets,
  };
}

/** An upstream gradient other than 1. */
export const DLOSS = 1.75;

/** The gradient of a loss with respect to its token's logits: -1 at the target, and p's. */
export function perTargetOf({ tokens, ignored = 0 }: CrossEntropyOptions): number {
  return DLOSS / Math.max(1, tokens * (1 - ignored));
}

/**
 * The roundings inside the gradient in bfloat16: dx sums dz * w over the vocabulary, where the
 * target's term and the largest p make up most of dz, and dw sums x * dz over the tokens, most of
 * which have another target.
 */
export function insideGradient(options: CrossEntropyOptions, roundings: number) {
  const { tokens, hidden, vocabulary, scale = 1, offset } = options;
  const { boundaries } = activations(options.dtype);
  const weight = offset === undefined ? scale / Math.sqrt(hidden) : Math.abs(offset);
  const perTarget = perTargetOf(options);
  return {
    dx: boundaries(Math.SQRT2 * weight * perTarget, roundings),
    dw: boundaries(Math.sqrt(1 + 4 * tokens / vocabulary) * perTarget, roundings),
  };
}

/** The logits that a forward pass keeps, in rows of `stride`. */
export function keptLogits(
  x: Float64Array,
  w: Float64Array,
  { tokens, hidden, vocabulary }: HeadSizes,
  stride: number,
): Float32Array<ArrayBuffer> {
  const product = matmul(x, w, tokens, hidden, vocabulary);
  const logits = new Float32Array(tokens * stride);
  for (let t = 0; t < tokens; t++) {
    logits.set(product.subarray(t * vocabulary, (t + 1) * vocabulary), t * stride);
  }
  return logits;
}
