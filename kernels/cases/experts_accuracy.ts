import type { ExpertsOptions } from "./experts_layer.ts";
import { activations } from "./stored.ts";
import { largestSize, plus, rounded, type Tolerance } from "./tolerance.ts";

/** Root mean square of gate * silu(g) * u, and of its derivatives by g and u, with normal g and u. */
const SWIGLU = 0.7;
/**
 * The roundings of an element of a in bfloat16, and of dg and du: its own, and those of g and u. The
 * relative error of a factor silu(g) is that of g times g * silu'(g) / silu(g), whose mean square is
 * 1.5, and likewise for the derivatives.
 */
const OF_A = 3.5;
const OF_DH = 2.5;
/** Normal factors of a term: what SwiGLU makes of g and u weighs as much as two. */
const FACTORS = 3;

/** How many experts a token has. */
function activeExperts({ experts, density }: ExpertsOptions): number {
  return Math.max(1, experts * density);
}

/** The combined error of both products, for each expert of a token. */
function productTolerance(options: ExpertsOptions): Tolerance {
  const { hidden, width } = options;
  const { product } = activations(options.dtype);
  const inner = plus(product(hidden, 1 / Math.sqrt(hidden)), product(width, 1 / Math.sqrt(width)));
  return plus(rounded(8), { rtol: 0, atol: inner.atol * Math.sqrt(activeExperts(options)) });
}

/**
 * The tolerances of the forward pass. In bfloat16 y sums gate * a * w2, of rounded a, over the widths
 * of a token's experts.
 *
 * @param options Sizes and dtype.
 * @returns Those of y and h.
 */
export function expertsTolerances(options: ExpertsOptions): Record<"y" | "h", Tolerance> {
  const { hidden, width } = options;
  const { product, rounding, boundaries } = activations(options.dtype);
  const terms = width * activeExperts(options);
  const inside = boundaries(largestSize(terms, SWIGLU / Math.sqrt(width), FACTORS), OF_A);
  return {
    y: plus(plus(productTolerance(options), inside), rounding),
    h: plus(product(hidden, 1 / Math.sqrt(hidden)), rounding),
  };
}

/**
 * The tolerances of the gradient. In bfloat16 dx sums rounded dg and du times w1 over the widths of a
 * token's experts, dw1 and dw2 sum x times dg or du, and a times dy, over an expert's rows, and a
 * gate's gradient sums dA' times silu(g) * u over the width.
 *
 * @param options Sizes and dtype.
 * @param rows Rows of the expert that has most.
 * @returns Those of each gradient.
 */
export function expertsGradientTolerances(
  options: ExpertsOptions,
  rows: number,
): Record<"dx" | "dw1" | "dw2" | "dgates", Tolerance> {
  const { hidden, width } = options;
  const { product, rounding, boundaries } = activations(options.dtype);
  // dA' = dy W2^T has a magnitude of sqrt(D / W), and so does dH.
  const upstream = Math.sqrt(hidden / width);
  const both = productTolerance(options);
  const flowing = plus(both, { rtol: 0, atol: 2 * upstream * both.atol });
  const weights = plus(flowing, product(rows, 1 + upstream));
  const terms = 2 * width * activeExperts(options);
  const inside = (length: number, scale: number, roundings: number): Tolerance =>
    boundaries(largestSize(length, SWIGLU * scale, FACTORS), roundings);
  return {
    dx: plus(plus(flowing, inside(terms, upstream / Math.sqrt(hidden), OF_DH)), rounding),
    dw1: plus(weights, inside(rows, upstream, OF_DH)),
    dw2: plus(weights, inside(rows, 1, OF_A)),
    dgates: plus(plus(flowing, product(width, upstream)), inside(width, upstream, OF_DH)),
  };
}
