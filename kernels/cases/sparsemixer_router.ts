import {
  doubled,
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import type { Random } from "./random.ts";
import { matmul } from "./reference/gemm.ts";
import { dot, softmax } from "./reference/reduction.ts";
import { columnSums, routingOf } from "./reference/router.ts";
import { sparseMixerRow, sparseMixerSurrogate } from "./reference/sparsemixer.ts";
import { routerInputs, type RouterSizes } from "./relu_router.ts";
import { activations } from "./stored.ts";
import { EXACT, plus, rounded, summed } from "./tolerance.ts";

/** Sizes of a SparseMixer router. */
export interface SparseMixerRouterOptions extends RouterSizes {
  /** k. */
  readonly active: number;
  /** How far below the largest logit experts are still drawn; 0.1 by default. */
  readonly jitter?: number;
  /** Whether the largest logits are chosen, without noise. */
  readonly evaluation?: boolean;
  /** Makes every third token 0: all experts tie. */
  readonly zeroTokens?: boolean;
}

/** Decisions closer than this could go either way in fp32, or in a finite difference. */
const MARGIN = 1e-4;

/** Noise [k, E + 1] of a token, as the device draws it: multiples of 2^-24. */
function noiseRow(random: Random, count: number): Float32Array {
  return Float32Array.from({ length: count }, () => Math.floor(random.next() * 2 ** 24) / 2 ** 24);
}

/** The figures of all tokens, as the kernel lays them out. */
function routed(
  logits: Float64Array,
  noise: ArrayLike<number> | null,
  { experts, active, jitter }: Required<Pick<SparseMixerRouterOptions, "active" | "jitter">> & {
    experts: number;
  },
) {
  const tokens = logits.length / experts;
  const columns = active * (experts + 1);
  const gates = new Float64Array(logits.length);
  const chosen = new Float64Array(logits.length);
  const order = new Int32Array(tokens * active);
  for (let t = 0; t < tokens; t++) {
    const own = noise && Array.from({ length: columns }, (_, i) => noise[t * columns + i]!);
    const row = sparseMixerRow(
      logits.subarray(t * experts, (t + 1) * experts),
      own,
      active,
      jitter,
    );
    order.set(row.order, t * active);
    for (const [choice, e] of row.order.entries()) {
      gates[t * experts + e] = row.probabilities[choice]! * row.factors[choice]!;
      chosen[t * experts + e] = 1;
    }
  }
  return { gates, order, ...routingOf(chosen, experts) };
}

/**
 * A case of `remoe_sparsemixer_router_forward`.
 *
 * @param options Sizes, k and jitter.
 * @returns The case.
 */
export function sparseMixerRouterCase(options: SparseMixerRouterOptions): OperationCase {
  const { tokens, hidden, experts, active, jitter = 0.1 } = options;
  const { evaluation = false, zeroTokens = false } = options;
  const { dtype, code, bytes, suffix, store } = activations(options.dtype);
  const words = Math.ceil(experts / 32);
  const columns = active * (experts + 1);
  const logits = summed(hidden, 1 / Math.sqrt(hidden));
  // An error of a logit is a relative error of its exponential.
  const probabilities = { rtol: 2 * logits.atol + rounded(12).rtol, atol: 1e-9 };
  return operationCase({
    name: `sparsemixer_router_forward [${tokens},${hidden}]x[${hidden},${experts}] k=${active}` +
      ` jitter ${jitter}${evaluation ? " in evaluation" : ""}${
        zeroTokens ? " with ties" : ""
      }${suffix}`,
    operation: "sparsemixer_router_forward",
    symbols: ["remoe_sparsemixer_router_forward"],
    flops: 2 * tokens * hidden * experts,
    bytes: bytes * tokens * hidden + 4 * (hidden * experts + 2 * experts +
          tokens * (2 * experts + words + active + (evaluation ? 0 : columns))),
    dtype,
    inputs: (random) => {
      const rows: Float32Array[] = [];
      const isClear = (logits: Float64Array): boolean => {
        const noise = noiseRow(random, columns);
        const { margin } = sparseMixerRow(logits, evaluation ? null : noise, active, jitter);
        if (margin > MARGIN) rows.push(noise);
        return margin > MARGIN;
      };
      const { x, w } = routerInputs(random, options, "half", isClear);
      for (let t = 0; zeroTokens && t < tokens; t += 3) {
        x.fill(0, t * hidden, (t + 1) * hidden);
        while (!isClear(new Float64Array(experts)));
        rows[t] = rows.pop()!;
      }
      return { x: store(x), w, noise: Float32Array.from(rows.flatMap((row) => [...row])) };
    },
    outputs: {
      gates: output([tokens, experts], probabilities),
      logits: output([tokens, experts], logits),
      order: output([tokens, active], EXACT, "i32"),
      mask: output([tokens, words], EXACT, "i32"),
      counts: output([experts], EXACT, "i32"),
      probability_sums: output([experts], plus(probabilities, summed(tokens, 1 / experts))),
    },
    call(k, at) {
      const status = k.symbols.remoe_sparsemixer_router_forward(
        k.handle,
        code,
        at("gates"),
        at("logits"),
        at("order"),
        at("mask"),
        at("counts"),
        at("probability_sums"),
        evaluation ? 0n : at("noise"),
        at("x"),
        at("w"),
        tokens,
        hidden,
        experts,
        active,
        jitter,
      );
      k.check(status, "sparsemixer_router_forward");
    },
    reference: ({ x, w, noise }) => {
      const logits = matmul(x, w, tokens, hidden, experts);
      return {
        ...routed(logits, evaluation ? null : noise, { experts, active, jitter }),
        logits,
        probability_sums: columnSums(softmax(logits, experts), experts),
      };
    },
  });
}

/** coefficient / T_step, large enough that the balance term weighs as much as the rest. */
const SCALE = 0.7;

/**
 * A case of `remoe_sparsemixer_router_gradient`. The estimator is the gradient of <dgates, p> over
 * the choices made, which are constants to it, and has no Heun's factor; the loss adds Switch's
 * balance term.
 *
 * @param options Sizes, k and jitter; `hidden` is irrelevant.
 * @returns The case.
 */
export function sparseMixerRouterGradientCase(
  options: Omit<SparseMixerRouterOptions, "hidden" | "dtype">,
): GradientCase {
  const { tokens, experts, active, jitter = 0.1 } = options;
  const count = tokens * experts;
  return gradientCase({
    name: `sparsemixer_router_gradient [${tokens},${experts}] k=${active} jitter ${jitter}`,
    operation: "sparsemixer_router_gradient",
    symbols: ["remoe_sparsemixer_router_gradient"],
    flops: 6 * count * active,
    bytes: 12 * count,
    inputs: (random) => {
      const logits = new Float32Array(count);
      const order = new Int32Array(tokens * active);
      for (let t = 0; t < tokens;) {
        const row = random.normal(experts);
        const noise = noiseRow(random, active * (experts + 1));
        const drawn = sparseMixerRow(doubled(row), noise, active, jitter);
        if (drawn.margin < MARGIN) continue;
        logits.set(row, t * experts);
        order.set(drawn.order, t++ * active);
      }
      const chosen = new Float64Array(count);
      order.forEach((e, choice) => chosen[Math.floor(choice / active) * experts + e] = 1);
      const { counts } = routingOf(chosen, experts);
      return { logits, dgates: random.normal(count), order, counts: new Int32Array(counts) };
    },
    outputs: { dlogits: output([tokens, experts], rounded(12 + active, 0.5)) },
    gradients: { dlogits: { of: "logits" } },
    call(k, at) {
      const status = k.symbols.remoe_sparsemixer_router_gradient(
        k.handle,
        at("dlogits"),
        at("dgates"),
        at("logits"),
        at("order"),
        at("counts"),
        SCALE,
        jitter,
        tokens,
        experts,
        active,
      );
      k.check(status, "sparsemixer_router_gradient");
    },
    loss: ({ logits, dgates, order, counts }) => {
      const sums = columnSums(softmax(logits, experts), experts);
      const balance = (SCALE * experts * dot(Float64Array.from(counts), sums)) / (active * tokens);
      return sparseMixerSurrogate(logits, dgates, order, experts, jitter) + balance;
    },
  });
}

/** Cases of the SparseMixer router. */
export const SPARSEMIXER_ROUTER_CASES: readonly OperationCase[] = [
  sparseMixerRouterCase({ tokens: 1, hidden: 1, experts: 1, active: 1 }),
  sparseMixerRouterCase({ tokens: 5, hidden: 3, experts: 7, active: 7 }),
  ...[1, 2, 3].flatMap((active) =>
    [0.1, 0.4, 2].map((jitter) =>
      sparseMixerRouterCase({ tokens: 67, hidden: 40, experts: 9, active, jitter })
    )
  ),
  ...[1, 3].map((active) =>
    sparseMixerRouterCase({ tokens: 67, hidden: 40, experts: 9, active, evaluation: true })
  ),
  sparseMixerRouterCase({ tokens: 1024, hidden: 128, experts: 8, active: 1 }),
  sparseMixerRouterCase({ tokens: 33, hidden: 64, experts: 128, active: 8 }),
  sparseMixerRouterCase({ tokens: 31, hidden: 16, experts: 33, active: 2, zeroTokens: true }),
  sparseMixerRouterCase({
    ...{ tokens: 31, hidden: 16, experts: 33, active: 2 },
    ...{ zeroTokens: true, evaluation: true },
  }),
  sparseMixerRouterCase({ tokens: 300, hidden: 24, experts: 40, active: 2, jitter: 0.01 }),
  ...[200, 520].map((experts) =>
    sparseMixerRouterCase({ tokens: 5, hidden: 16, experts, active: 2, jitter: 0.4 })
  ),
  ...([
    { tokens: 1, hidden: 1, experts: 1, active: 1 },
    { tokens: 67, hidden: 40, experts: 9, active: 2 },
    { tokens: 67, hidden: 40, experts: 9, active: 3, evaluation: true },
    { tokens: 33, hidden: 64, experts: 128, active: 8 },
    { tokens: 31, hidden: 16, experts: 33, active: 2, zeroTokens: true },
  ] as const).map((options) => sparseMixerRouterCase({ ...options, dtype: "bf16" })),
];

/** Cases of its gradient. */
export const SPARSEMIXER_ROUTER_GRADIENT_CASES: readonly GradientCase[] = [
  sparseMixerRouterGradientCase({ tokens: 1, experts: 1, active: 1 }),
  sparseMixerRouterGradientCase({ tokens: 4, experts: 5, active: 5 }),
  ...[1, 2, 3].flatMap((active) =>
    [0.1, 2].map((jitter) =>
      sparseMixerRouterGradientCase({ tokens: 37, experts: 8, active, jitter })
    )
  ),
  sparseMixerRouterGradientCase({ tokens: 140, experts: 65, active: 2 }),
  ...[200, 520].map((experts) =>
    sparseMixerRouterGradientCase({ tokens: 3, experts, active: 2, jitter: 0.4 })
  ),
];
