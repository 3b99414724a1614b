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
import { columnSums, routingOf, sigmoidGates } from "./reference/router.ts";
import { routerInputs, type RouterSizes } from "./relu_router.ts";
import { activations } from "./stored.ts";
import { EXACT, plus, rounded, summed } from "./tolerance.ts";

/** Sizes of a sigmoid router. */
export interface SigmoidRouterOptions extends RouterSizes {
  /** k. */
  readonly active: number;
  /** Whether gates are divided by their sum. */
  readonly normalize?: boolean;
  /** Standard deviation of the biases; 0 passes none. Default 0.2. */
  readonly biased?: number;
  /** Makes every third token 0: all scores tie. */
  readonly zeroTokens?: boolean;
  /** Multiplies the logits: by 200 most scores are 0 or 1 in fp32. */
  readonly spread?: number;
}

/** Ranks closer to each other than this could come in either order in fp32. */
const MARGIN = 1e-4;

/** Whether the k-th and the next of score + bias are far enough apart. */
function isRanked(logits: Float64Array, bias: ArrayLike<number>, active: number): boolean {
  const { scores } = sigmoidGates(logits, bias, active, false);
  const ranked = scores.map((score, e) => score + bias[e]!).sort().reverse();
  return active >= ranked.length || ranked[active - 1]! - ranked[active]! > MARGIN;
}

/** Describes a case's variation. */
function notes(
  { active, normalize, biased, zeroTokens, spread = 1, dtype }: SigmoidRouterOptions,
): string {
  return `k=${active}${normalize ? " normalized" : ""}${biased === 0 ? " unbiased" : ""}` +
    `${zeroTokens ? " with ties" : ""}${spread === 1 ? "" : ` spread ${spread}`}` +
    activations(dtype).suffix;
}

/**
 * A case of `remoe_sigmoid_router_forward`.
 *
 * @param options Sizes, k, and how gates are normalised.
 * @returns The case.
 */
export function sigmoidRouterCase(options: SigmoidRouterOptions): OperationCase {
  const { tokens, hidden, experts, active, normalize = false, biased = 0.2 } = options;
  const { zeroTokens = false, spread = 1 } = options;
  const { dtype, code, bytes, store } = activations(options.dtype);
  const words = Math.ceil(experts / 32);
  // An error of a logit is at most as large a relative error of its score.
  const logits = summed(hidden, spread / Math.sqrt(hidden));
  const scores = { rtol: 2 * logits.atol + rounded(12).rtol, atol: 1e-9 };
  return operationCase({
    name: `sigmoid_router_forward [${tokens},${hidden}]x[${hidden},${experts}] ${notes(options)}`,
    operation: "sigmoid_router_forward",
    symbols: ["remoe_sigmoid_router_forward"],
    flops: 2 * tokens * hidden * experts,
    bytes: bytes * tokens * hidden +
      4 * (hidden * experts + tokens * (2 * experts + words) + 3 * experts),
    dtype,
    inputs: (random) => {
      const bias = random.normal(experts, { scale: biased });
      const inputs = routerInputs(
        random,
        options,
        "half",
        (row) => isRanked(row.map((logit) => spread * logit), bias, active),
      );
      if (zeroTokens) {
        for (let t = 0; t < tokens; t += 3) inputs.x.fill(0, t * hidden, (t + 1) * hidden);
      }
      inputs.w.forEach((value, i) => inputs.w[i] = spread * value);
      return { x: store(inputs.x), w: inputs.w, bias };
    },
    outputs: {
      gates: output([tokens, experts], plus(scores, scores)),
      scores: output([tokens, experts], scores),
      mask: output([tokens, words], EXACT, "i32"),
      counts: output([experts], EXACT, "i32"),
      score_sums: output([experts], plus(scores, summed(tokens, 1))),
    },
    call(k, at) {
      const status = k.symbols.remoe_sigmoid_router_forward(
        k.handle,
        code,
        at("gates"),
        at("scores"),
        at("mask"),
        at("counts"),
        at("score_sums"),
        biased === 0 ? 0n : at("bias"),
        at("x"),
        at("w"),
        tokens,
        hidden,
        experts,
        active,
        Number(normalize),
      );
      k.check(status, "sigmoid_router_forward");
    },
    reference: ({ x, w, bias }) => {
      const routed = sigmoidGates(matmul(x, w, tokens, hidden, experts), bias, active, normalize);
      return {
        ...routed,
        ...routingOf(routed.chosen, experts),
        score_sums: columnSums(routed.scores, experts),
      };
    },
  });
}

/**
 * A case of `remoe_sigmoid_router_gradient`: the loss is <dgates, gates>.
 *
 * @param options Sizes, k, and how gates are normalised; `hidden` is irrelevant.
 * @returns The case.
 */
export function sigmoidRouterGradientCase(
  options: Omit<SigmoidRouterOptions, "hidden" | "zeroTokens" | "dtype">,
): GradientCase {
  const { tokens, experts, active, normalize = false, biased = 0.2, spread = 1 } = options;
  const count = tokens * experts;
  return gradientCase({
    name: `sigmoid_router_gradient [${tokens},${experts}] ${notes({ ...options, hidden: 0 })}`,
    operation: "sigmoid_router_gradient",
    symbols: ["remoe_sigmoid_router_gradient"],
    flops: 4 * count,
    bytes: 12 * count,
    inputs: (random) => {
      const bias = random.normal(experts, { scale: biased });
      const logits = new Float32Array(count);
      for (let t = 0; t < tokens;) {
        const row = random.normal(experts, { scale: spread });
        if (isRanked(doubled(row), bias, active)) logits.set(row, t++ * experts);
      }
      const { gates, scores, chosen } = sigmoidGates(doubled(logits), bias, active, normalize);
      return {
        logits,
        bias,
        dgates: random.normal(count),
        gates: Float32Array.from(gates),
        mask: new Int32Array(routingOf(chosen, experts).mask),
        scores: Float32Array.from(scores),
      };
    },
    outputs: { dlogits: output([tokens, experts], rounded(12, 0.5)) },
    gradients: { dlogits: { of: "logits" } },
    call(k, at) {
      const status = k.symbols.remoe_sigmoid_router_gradient(
        k.handle,
        at("dlogits"),
        at("dgates"),
        at("gates"),
        at("mask"),
        at("scores"),
        tokens,
        experts,
        Number(normalize),
      );
      k.check(status, "sigmoid_router_gradient");
    },
    loss: ({ logits, bias, dgates }) =>
      dot(dgates, sigmoidGates(logits, bias, active, normalize).gates),
  });
}

/** Most scores are 0 or 1 in fp32; those of some tokens' experts are all 0. */
const SATURATED = { tokens: 35, active: 3, spread: 200 };

/** Cases of the sigmoid router. */
export const SIGMOID_ROUTER_CASES: readonly OperationCase[] = [
  sigmoidRouterCase({ tokens: 1, hidden: 1, experts: 1, active: 1 }),
  sigmoidRouterCase({ tokens: 5, hidden: 3, experts: 7, active: 7, normalize: true }),
  ...[1, 2, 3].flatMap((active) =>
    [false, true].map((normalize) =>
      sigmoidRouterCase({ tokens: 67, hidden: 40, experts: 9, active, normalize })
    )
  ),
  sigmoidRouterCase({ tokens: 300, hidden: 24, experts: 8, active: 2, biased: 0 }),
  sigmoidRouterCase({ tokens: 1024, hidden: 128, experts: 8, active: 1 }),
  sigmoidRouterCase({ tokens: 33, hidden: 64, experts: 128, active: 8, normalize: true }),
  sigmoidRouterCase({ tokens: 31, hidden: 16, experts: 33, active: 2, zeroTokens: true }),
  ...[200, 520].map((experts) =>
    sigmoidRouterCase({ tokens: 5, hidden: 16, experts, active: 3, normalize: true })
  ),
  sigmoidRouterCase({
    ...{ tokens: 31, hidden: 16, experts: 33, active: 2 },
    ...{ zeroTokens: true, biased: 0, normalize: true },
  }),
  ...[false, true].map((normalize) =>
    sigmoidRouterCase({ ...SATURATED, hidden: 12, experts: 9, normalize })
  ),
  ...([
    { tokens: 1, hidden: 1, experts: 1, active: 1 },
    { tokens: 67, hidden: 40, experts: 9, active: 2, normalize: true },
    { tokens: 1024, hidden: 128, experts: 8, active: 1 },
    { tokens: 33, hidden: 64, experts: 128, active: 8, normalize: true },
    { tokens: 31, hidden: 16, experts: 33, active: 2, zeroTokens: true },
  ] as const).map((options) => sigmoidRouterCase({ ...options, dtype: "bf16" })),
];

/** Cases of its gradient. */
export const SIGMOID_ROUTER_GRADIENT_CASES: readonly GradientCase[] = [
  sigmoidRouterGradientCase({ tokens: 1, experts: 1, active: 1 }),
  sigmoidRouterGradientCase({ tokens: 4, experts: 5, active: 5, normalize: true }),
  ...[1, 2, 3].flatMap((active) =>
    [false, true].map((normalize) =>
      sigmoidRouterGradientCase({ tokens: 37, experts: 8, active, normalize })
    )
  ),
  sigmoidRouterGradientCase({ tokens: 19, experts: 65, active: 6, normalize: true }),
  sigmoidRouterGradientCase({ tokens: 19, experts: 9, active: 2, spread: 5, normalize: true }),
  ...[200, 520].map((experts) => sigmoidRouterGradientCase({ tokens: 3, experts, active: 2 })),
];
