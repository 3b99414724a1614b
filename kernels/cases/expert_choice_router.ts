import {
  doubled,
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import type { Random } from "./random.ts";
import { expertChoiceGates, type GroupSizes } from "./reference/expert_choice.ts";
import { matmul } from "./reference/gemm.ts";
import { dot, softmax } from "./reference/reduction.ts";
import { routingOf } from "./reference/router.ts";
import type { RouterSizes } from "./relu_router.ts";
import { activations } from "./stored.ts";
import { EXACT, rounded, summed } from "./tolerance.ts";

/** Sizes of an expert-choice router. */
export interface ExpertChoiceOptions extends RouterSizes, GroupSizes {
  /** Makes every n-th token 0: equal probabilities, of which the earlier win. */
  readonly zeroEvery?: number;
  /** Multiplies the logits: by 200 experts choose among probabilities that underflowed to 0. */
  readonly spread?: number;
}

/** Probabilities relatively closer to each other than this could be ranked either way in fp32. */
const MARGIN = 1e-4;
/** Below, fp32 holds fewer digits than the margin needs. */
const SMALLEST = 1e-37;

/** Whether fp32 ranks a column in which `last` is the smallest probability taken as float64 does. */
function isClear(column: readonly number[], last: number): boolean {
  const isHeld = last === 0 || last > SMALLEST;
  // Between these, rounding decides whether a probability is 0.
  const isDecided = column.every((p) => p < 2e-46 || p > 5e-45);
  const held = column.map(Math.fround);
  return isHeld && isDecided &&
    held.every((p) => p === last || Math.abs(p - last) > MARGIN * last);
}

/** Whether every expert's choice is unambiguous. */
function isRanked(probabilities: Float64Array, experts: number, sizes: GroupSizes): boolean {
  const tokens = probabilities.length / experts;
  for (let start = 0; start < tokens; start += sizes.group) {
    const length = Math.min(sizes.group, tokens - start);
    const taken = Math.ceil(length * sizes.capacity / sizes.group);
    for (let e = 0; e < experts; e++) {
      const column = Array.from({ length }, (_, i) => probabilities[(start + i) * experts + e]!);
      const last = column.map(Math.fround).sort((a, b) => b - a)[taken - 1]!;
      if (taken < length && !isClear(column, last)) return false;
    }
  }
  return true;
}

/** Draws rows until the experts' choice among them is unambiguous. */
function ranked<Drawn>(draw: () => Drawn, fits: (drawn: Drawn) => boolean): Drawn {
  for (;;) {
    const drawn = draw();
    if (fits(drawn)) return drawn;
  }
}

/** Tokens [T, D], some of them 0. */
function drawTokens(
  random: Random,
  { tokens, hidden, zeroEvery = Infinity, dtype }: ExpertChoiceOptions,
) {
  const x = random.normal(tokens * hidden);
  for (let t = 0; t < tokens; t++) {
    if (t % zeroEvery === zeroEvery - 1) x.fill(0, t * hidden, (t + 1) * hidden);
  }
  return activations(dtype).store(x);
}

/**
 * A case of `remoe_expert_choice_router_forward`.
 *
 * @param options Sizes.
 * @returns The case.
 */
export function expertChoiceCase(options: ExpertChoiceOptions): OperationCase {
  const { tokens, hidden, experts, group, capacity, zeroEvery, spread = 1 } = options;
  const { dtype, code, bytes, suffix } = activations(options.dtype);
  const words = Math.ceil(experts / 32);
  // An error of a logit is a relative error of its exponential.
  const logits = summed(hidden, spread / Math.sqrt(hidden));
  const probabilities = { rtol: 2 * logits.atol + rounded(12).rtol, atol: 1e-9 };
  return operationCase({
    name: `expert_choice_router_forward [${tokens},${hidden}]x[${hidden},${experts}] ` +
      `${capacity} of ${group}${zeroEvery === undefined ? "" : ` 1 in ${zeroEvery} zero`}` +
      `${spread === 1 ? "" : ` spread ${spread}`}${suffix}`,
    operation: "expert_choice_router_forward",
    symbols: ["remoe_expert_choice_router_forward"],
    flops: 2 * tokens * hidden * experts,
    bytes: bytes * tokens * hidden +
      4 * (hidden * experts + tokens * (2 * experts + words) + experts),
    dtype,
    inputs: (random) =>
      ranked(() => ({
        x: drawTokens(random, options),
        w: random.normal(hidden * experts, { scale: spread / Math.sqrt(hidden) }),
      }), ({ x, w }) => {
        const logits = matmul(doubled(x), doubled(w), tokens, hidden, experts);
        return isRanked(softmax(logits, experts), experts, options);
      }),
    outputs: {
      gates: output([tokens, experts], probabilities),
      probabilities: output([tokens, experts], probabilities),
      mask: output([tokens, words], EXACT, "i32"),
      counts: output([experts], EXACT, "i32"),
    },
    call(k, at) {
      const status = k.symbols.remoe_expert_choice_router_forward(
        k.handle,
        code,
        at("gates"),
        at("probabilities"),
        at("mask"),
        at("counts"),
        at("x"),
        at("w"),
        tokens,
        hidden,
        experts,
        group,
        capacity,
      );
      k.check(status, "expert_choice_router_forward");
    },
    reference: ({ x, w }) => {
      const routed = expertChoiceGates(matmul(x, w, tokens, hidden, experts), experts, options);
      return { ...routed, ...routingOf(routed.chosen, experts) };
    },
  });
}

/**
 * A case of the router's gradient, which is the TopK router's without balance: a token may have any
 * number of experts, and the choice is constant for the derivative.
 *
 * @param options Sizes; `hidden` is irrelevant.
 * @returns The case.
 */
export function expertChoiceGradientCase(
  options: Omit<ExpertChoiceOptions, "hidden" | "zeroEvery" | "spread" | "dtype">,
): GradientCase {
  const { tokens, experts, group, capacity } = options;
  const count = tokens * experts;
  return gradientCase({
    name: `topk_router_gradient of expert choice [${tokens},${experts}] ${capacity} of ${group}`,
    operation: "topk_router_gradient",
    symbols: ["remoe_topk_router_gradient"],
    flops: 6 * count,
    bytes: 16 * count,
    inputs: (random) => {
      const logits = ranked(
        () => random.normal(count),
        (drawn) => isRanked(softmax(doubled(drawn), experts), experts, options),
      );
      const { gates, probabilities, chosen } = expertChoiceGates(
        doubled(logits),
        experts,
        options,
      );
      const { mask, counts } = routingOf(chosen, experts);
      return {
        logits,
        dgates: random.normal(count),
        gates: Float32Array.from(gates),
        mask: new Int32Array(mask),
        probabilities: Float32Array.from(probabilities),
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
        0n,
        at("counts"),
        0,
        0,
        tokens,
        experts,
        1,
        0,
      );
      k.check(status, "topk_router_gradient of expert choice");
    },
    loss: ({ logits, dgates }) => dot(dgates, expertChoiceGates(logits, experts, options).gates),
  });
}

/** Cases of the expert-choice router. */
export const EXPERT_CHOICE_CASES: readonly OperationCase[] = [
  expertChoiceCase({ tokens: 1, hidden: 1, experts: 1, group: 1, capacity: 1 }),
  expertChoiceCase({ tokens: 6, hidden: 3, experts: 7, group: 6, capacity: 1 }),
  expertChoiceCase({ tokens: 16, hidden: 8, experts: 4, group: 16, capacity: 4 }),
  // Every expert takes every token.
  expertChoiceCase({ tokens: 65, hidden: 12, experts: 9, group: 65, capacity: 65 }),
  // Groups of which the last is shorter.
  expertChoiceCase({ tokens: 67, hidden: 24, experts: 5, group: 16, capacity: 4 }),
  expertChoiceCase({ tokens: 64, hidden: 16, experts: 8, group: 8, capacity: 1 }),
  // A group longer than the tokens is a short one.
  expertChoiceCase({ tokens: 20, hidden: 8, experts: 3, group: 40, capacity: 13 }),
  expertChoiceCase({ tokens: 300, hidden: 24, experts: 8, group: 150, capacity: 19 }),
  expertChoiceCase({ tokens: 33, hidden: 64, experts: 128, group: 33, capacity: 3 }),
  expertChoiceCase({ tokens: 30, hidden: 16, experts: 33, group: 10, capacity: 2 }),
  ...[200, 520].map((experts) =>
    expertChoiceCase({ tokens: 6, hidden: 16, experts, group: 6, capacity: 2 })
  ),
  expertChoiceCase({ tokens: 36, hidden: 6, experts: 5, group: 36, capacity: 16, zeroEvery: 3 }),
  expertChoiceCase({ tokens: 12, hidden: 4, experts: 65, group: 12, capacity: 5, zeroEvery: 1 }),
  // Longer than what a block of a GPU keeps at hand.
  expertChoiceCase({ tokens: 16_400, hidden: 1, experts: 1, group: 16_400, capacity: 7 }),
  // More places than tokens whose probability is above 0.
  expertChoiceCase({ tokens: 20, hidden: 12, experts: 9, group: 20, capacity: 18, spread: 200 }),
  ...([
    { tokens: 1, hidden: 1, experts: 1, group: 1, capacity: 1 },
    { tokens: 67, hidden: 24, experts: 5, group: 16, capacity: 4 },
    { tokens: 33, hidden: 64, experts: 128, group: 33, capacity: 3 },
    { tokens: 36, hidden: 6, experts: 5, group: 36, capacity: 16, zeroEvery: 3 },
  ] as const).map((options) => expertChoiceCase({ ...options, dtype: "bf16" })),
];

/** Cases of its gradient. */
export const EXPERT_CHOICE_GRADIENT_CASES: readonly GradientCase[] = [
  expertChoiceGradientCase({ tokens: 1, experts: 1, group: 1, capacity: 1 }),
  expertChoiceGradientCase({ tokens: 37, experts: 8, group: 37, capacity: 5 }),
  expertChoiceGradientCase({ tokens: 24, experts: 5, group: 24, capacity: 24 }),
  expertChoiceGradientCase({ tokens: 19, experts: 65, group: 6, capacity: 2 }),
];
