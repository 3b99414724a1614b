import {
  doubled,
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { matmul } from "./reference/gemm.ts";
import { dot } from "./reference/reduction.ts";
import { columnSums, routingOf, topkGates } from "./reference/router.ts";
import { routerInputs, type RouterSizes } from "./relu_router.ts";
import { activations } from "./stored.ts";
import { EXACT, plus, rounded, summed } from "./tolerance.ts";

/** Sizes of a TopK router. */
export interface TopkRouterOptions extends RouterSizes {
  /** k. */
  readonly active: number;
  /** Whether gates are divided by their sum. */
  readonly renormalize?: boolean;
  /** Makes every third token 0: all experts tie, and the lowest win. */
  readonly zeroTokens?: boolean;
  /** Multiplies the logits: by 200 all but one probability of most tokens underflow. */
  readonly spread?: number;
  /** Coefficient of the z-loss; by default neither its value nor its gradient is wanted. */
  readonly zScale?: number;
}

/** Logits closer to each other than this could be ranked either way in fp32. */
const MARGIN = 1e-4;

/**
 * Whether the k-th and the next logit are far enough apart.
 *
 * @param logits A token's logits.
 * @param active k.
 * @returns True if the selection is unambiguous.
 */
function isRanked(logits: Float64Array, active: number): boolean {
  const ranked = logits.toSorted().reverse();
  return active >= ranked.length || ranked[active - 1]! - ranked[active]! > MARGIN;
}

/**
 * A case of `remoe_topk_router_forward`.
 *
 * @param options Sizes, k, and how gates are normalised.
 * @returns The case.
 */
export function topkRouterCase(options: TopkRouterOptions): OperationCase {
  const { tokens, hidden, experts, active, renormalize = false, zeroTokens = false } = options;
  const { spread = 1, zScale = 0 } = options;
  const { dtype, code, bytes, suffix, store } = activations(options.dtype);
  const words = Math.ceil(experts / 32);
  // An error of a logit is a relative error of its exponential.
  const logits = summed(hidden, spread / Math.sqrt(hidden));
  const probabilities = { rtol: 2 * logits.atol + rounded(12).rtol, atol: 1e-9 };
  return operationCase({
    name: `topk_router_forward [${tokens},${hidden}]x[${hidden},${experts}] k=${active}` +
      `${renormalize ? " renormalized" : ""}${zeroTokens ? " with ties" : ""}` +
      `${spread === 1 ? "" : ` spread ${spread}`}${zScale === 0 ? "" : " z"}${suffix}`,
    operation: "topk_router_forward",
    symbols: ["remoe_topk_router_forward"],
    flops: 2 * tokens * hidden * experts,
    bytes: bytes * tokens * hidden +
      4 * (hidden * experts + tokens * (2 * experts + words) + 2 * experts),
    dtype,
    inputs: (random) => {
      const inputs = routerInputs(random, options, "half", (row) => isRanked(row, active));
      if (zeroTokens) {
        for (let t = 0; t < tokens; t += 3) inputs.x.fill(0, t * hidden, (t + 1) * hidden);
      }
      inputs.w.forEach((value, i) => inputs.w[i] = spread * value);
      return { x: store(inputs.x), w: inputs.w };
    },
    outputs: {
      gates: output([tokens, experts], probabilities),
      probabilities: output([tokens, experts], probabilities),
      mask: output([tokens, words], EXACT, "i32"),
      counts: output([experts], EXACT, "i32"),
      probability_sums: output([experts], plus(probabilities, summed(tokens, 1 / experts))),
      normalizer: output([tokens], plus(logits, rounded(4, Math.log(experts)))),
      z_sum: output([1], { rtol: 4 * logits.atol / spread + rounded(12).rtol, atol: 1e-6 }),
    },
    unwanted: zScale === 0 ? ["normalizer", "z_sum"] : [],
    call(k, at) {
      const status = k.symbols.remoe_topk_router_forward(
        k.handle,
        code,
        at("gates"),
        at("probabilities"),
        at("mask"),
        at("counts"),
        at("probability_sums"),
        at("normalizer"),
        at("z_sum"),
        at("x"),
        at("w"),
        tokens,
        hidden,
        experts,
        active,
        Number(renormalize),
      );
      k.check(status, "topk_router_forward");
    },
    reference: ({ x, w }) => {
      const routed = topkGates(
        matmul(x, w, tokens, hidden, experts),
        experts,
        active,
        renormalize,
      );
      return {
        ...routed,
        ...routingOf(routed.chosen, experts),
        probability_sums: columnSums(routed.probabilities, experts),
        z_sum: [dot(routed.normalizer, routed.normalizer)],
      };
    },
  });
}

/** coefficient / T_step, large enough that the balance term weighs as much as the rest. */
const SCALE = 0.7;

/**
 * A case of `remoe_topk_router_gradient`: the loss is <dgates, gates> plus Switch's balance term,
 * whose counts are constants to the derivative, plus the z-loss.
 *
 * @param options Sizes, k, and how gates are normalised; `hidden` is irrelevant.
 * @returns The case.
 */
export function topkRouterGradientCase(
  options: Omit<TopkRouterOptions, "hidden" | "dtype">,
): GradientCase {
  const { tokens, experts, active, renormalize = false, spread = 1, zScale = 0 } = options;
  const count = tokens * experts;
  return gradientCase({
    name: `topk_router_gradient [${tokens},${experts}] k=${active}${
      renormalize ? " renormalized" : ""
    }${spread === 1 ? "" : ` spread ${spread}`}${zScale === 0 ? "" : ` z ${zScale}`}`,
    operation: "topk_router_gradient",
    symbols: ["remoe_topk_router_gradient"],
    flops: 6 * count,
    bytes: 16 * count,
    inputs: (random) => {
      const logits = new Float32Array(count);
      for (let t = 0; t < tokens;) {
        const row = random.normal(experts);
        if (!isRanked(doubled(row), active)) continue;
        logits.set(row.map((logit) => spread * logit), t++ * experts);
      }
      const { gates, probabilities, chosen, normalizer } = topkGates(
        doubled(logits),
        experts,
        active,
        renormalize,
      );
      const { mask, counts } = routingOf(chosen, experts);
      return {
        logits,
        dgates: random.normal(count),
        gates: Float32Array.from(gates),
        mask: new Int32Array(mask),
        probabilities: Float32Array.from(probabilities),
        normalizer: Float32Array.from(normalizer),
        counts: new Int32Array(counts),
      };
    },
    outputs: { dlogits: output([tokens, experts], rounded(12, 0.5)) },
    gradients: { dlogits: { of: "logits" } },
    call(k, at) {
      const status = k.symbols.remoe_topk_router_gradient(
        k.handle,
        at("dlogits"),
        at("dgates"),
        at("gates"),
        at("mask"),
        at("probabilities"),
        zScale === 0 ? 0n : at("normalizer"),
        at("counts"),
        SCALE,
        zScale,
        tokens,
        experts,
        active,
        Number(renormalize),
      );
      k.check(status, "topk_router_gradient");
    },
    loss: ({ logits, dgates, counts }) => {
      const { gates, probabilities, normalizer } = topkGates(logits, experts, active, renormalize);
      const balance = (SCALE * experts * dot(counts, columnSums(probabilities, experts))) /
        (active * tokens);
      return dot(dgates, gates) + balance + zScale * dot(normalizer, normalizer);
    },
  });
}

/** The probabilities of most experts, chosen ones among them, are 0 in fp32. */
const UNDERFLOW = { tokens: 35, active: 3, spread: 200 };

/** Cases of the TopK router. */
export const TOPK_ROUTER_CASES: readonly OperationCase[] = [
  topkRouterCase({ tokens: 1, hidden: 1, experts: 1, active: 1 }),
  topkRouterCase({ tokens: 5, hidden: 3, experts: 7, active: 7 }),
  ...[1, 2, 3].flatMap((active) =>
    [false, true].map((renormalize) =>
      topkRouterCase({ tokens: 67, hidden: 40, experts: 9, active, renormalize })
    )
  ),
  topkRouterCase({ tokens: 1024, hidden: 128, experts: 8, active: 1 }),
  topkRouterCase({ tokens: 33, hidden: 64, experts: 128, active: 8 }),
  topkRouterCase({ tokens: 31, hidden: 16, experts: 33, active: 2, zeroTokens: true }),
  topkRouterCase({ tokens: 131, hidden: 16, experts: 200, active: 3, zScale: 1 }),
  topkRouterCase({ tokens: 300, hidden: 24, experts: 8, active: 2, zScale: 1 }),
  topkRouterCase({ tokens: 5, hidden: 16, experts: 520, active: 3, renormalize: true }),
  ...[false, true].map((renormalize) =>
    topkRouterCase({ ...UNDERFLOW, hidden: 12, experts: 9, renormalize, zScale: 1 })
  ),
  topkRouterCase({ ...UNDERFLOW, hidden: 12, experts: 64 }),
  ...([
    { tokens: 1, hidden: 1, experts: 1, active: 1 },
    { tokens: 67, hidden: 40, experts: 9, active: 2, renormalize: true },
    { tokens: 1024, hidden: 128, experts: 8, active: 1 },
    { tokens: 33, hidden: 64, experts: 128, active: 8 },
    { tokens: 31, hidden: 16, experts: 33, active: 2, zeroTokens: true },
    { tokens: 300, hidden: 24, experts: 8, active: 2, zScale: 1 },
  ] as const).map((options) => topkRouterCase({ ...options, dtype: "bf16" })),
];

/** Cases of its gradient. */
export const TOPK_ROUTER_GRADIENT_CASES: readonly GradientCase[] = [
  topkRouterGradientCase({ tokens: 1, experts: 1, active: 1 }),
  topkRouterGradientCase({ tokens: 4, experts: 5, active: 5, renormalize: true }),
  ...[1, 2, 3].flatMap((active) =>
    [false, true].map((renormalize) =>
      topkRouterGradientCase({ tokens: 37, experts: 8, active, renormalize })
    )
  ),
  topkRouterGradientCase({ tokens: 19, experts: 65, active: 6 }),
  topkRouterGradientCase({ tokens: 3, experts: 200, active: 2 }),
  topkRouterGradientCase({ tokens: 3, experts: 520, active: 2, renormalize: true, zScale: 0.4 }),
  topkRouterGradientCase({ tokens: 1, experts: 1, active: 1, zScale: 0.4 }),
  ...[false, true].map((renormalize) =>
    topkRouterGradientCase({ tokens: 37, experts: 40, active: 2, renormalize, zScale: 0.4 })
  ),
  ...[false, true].map((renormalize) =>
    topkRouterGradientCase({ ...UNDERFLOW, experts: 9, renormalize })
  ),
  topkRouterGradientCase({ ...UNDERFLOW, experts: 9, zScale: 0.001 }),
];
