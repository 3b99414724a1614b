import { BalanceCode, GateCode } from "../../lib/ffi/mod.ts";
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
import { dot } from "./reference/reduction.ts";
import {
  activatedGates,
  type BalanceName,
  balanceWeights,
  columnSums,
  type GateName,
  routingOf,
} from "./reference/router.ts";
import { activations, type Real } from "./stored.ts";
import { EXACT, plus, rounded, summed } from "./tolerance.ts";

/** Sizes of a router. */
export interface RouterSizes {
  /** T. */
  readonly tokens: number;
  /** D. */
  readonly hidden: number;
  /** E. */
  readonly experts: number;
  /** Element type of x, fp32 by default; everything else is fp32. */
  readonly dtype?: Real;
}

/** Which gates are open: about half, every one, or none. */
export type Openness = "half" | "all" | "none";

/** Logits closer to 0 than this could fall on either side in fp32, while counts must be exact. */
const MARGIN = 1e-4;

/**
 * Draws tokens, rounded to their dtype, and router weights whose logits, of about 1, are all clear
 * of 0.
 *
 * @param random The generator.
 * @param sizes The router's sizes.
 * @param openness Which logits are positive.
 * @param isClear Whether a token's logits are unambiguous.
 * @returns x [T, D] and w [D, E].
 */
export function routerInputs(
  random: Random,
  { tokens, hidden, experts, dtype }: RouterSizes,
  openness: Openness,
  isClear: (logits: Float64Array) => boolean = (logits) =>
    logits.every((logit) => Math.abs(logit) > MARGIN),
): { x: Float32Array<ArrayBuffer>; w: Float32Array<ArrayBuffer> } {
  const scale = 1 / Math.sqrt(hidden);
  const sign = openness === "none" ? -1 : 1;
  const w = openness === "half"
    ? random.normal(hidden * experts, { scale })
    : random.uniform(hidden * experts, { scale: scale / 2, mean: sign * scale });
  const x = new Float32Array(tokens * hidden);
  for (let t = 0; t < tokens;) {
    const row = activations(dtype).round(
      openness === "half" ? random.normal(hidden) : random.uniform(hidden, { scale: 0.5, mean: 1 }),
    );
    if (!isClear(matmul(doubled(row), doubled(w), 1, hidden, experts))) continue;
    x.set(row, t++ * hidden);
  }
  return { x, w };
}

/** Variations of a ReLU router case. */
export interface ReluRouterOptions extends RouterSizes {
  /** Which gates are open; about half by default. */
  readonly openness?: Openness;
  /** Makes every third token 0, whose logits are exactly 0: not active. */
  readonly zeroTokens?: boolean;
  /** Puts nonfinite numbers into x, or into the last expert's weights. */
  readonly special?: Special;
  /** Activation of the logits, by default ReLU. */
  readonly activation?: GateName;
}

/** The nonfinite values of a diverged run, and where they are. */
export type Special = "NaN token" | "infinite tokens" | "NaN expert" | "infinite expert";

/** Plants the values named by `special`; the first token is made -0, whose gates are +0. */
function plant(
  special: Special,
  { x, w }: { x: Float32Array; w: Float32Array },
  { tokens, hidden, experts }: RouterSizes,
): void {
  x.fill(-0, 0, hidden);
  const value = special.startsWith("NaN") ? NaN : Infinity;
  if (special.endsWith("expert")) {
    w[experts - 1] = value;
    return;
  }
  x[hidden] = value;
  if (special === "infinite tokens") x[(tokens - 1) * hidden] = -Infinity;
}

/**
 * A case of `remoe_relu_router_forward`.
 *
 * @param options Sizes and which gates are open.
 * @returns The case.
 */
export function reluRouterCase(options: ReluRouterOptions): OperationCase {
  const { tokens, hidden, experts, openness = "half", zeroTokens = false, special } = options;
  const { activation = "relu" } = options;
  const { dtype, code, bytes, suffix, store } = activations(options.dtype);
  const words = Math.ceil(experts / 32);
  const notes = [
    openness === "half" ? "" : ` ${openness} active`,
    zeroTokens ? " with zero tokens" : "",
    special === undefined ? "" : ` with ${special}`,
    activation === "relu" ? "" : ` ${activation}`,
  ].join("");
  // A square's slope at logits of a few standard deviations, and tanh's own rounding.
  const slope = activation === "reluSquared" ? 8 : 1;
  const logit = summed(hidden, slope / Math.sqrt(hidden));
  const logits = activation === "relu" ? logit : plus(logit, rounded(4, 1));
  return operationCase({
    name: `relu_router_forward [${tokens},${hidden}]x[${hidden},${experts}]${notes}${suffix}`,
    operation: "relu_router_forward",
    symbols: ["remoe_relu_router_forward"],
    flops: 2 * tokens * hidden * experts,
    bytes: bytes * tokens * hidden +
      4 * (hidden * experts + tokens * (experts + words) + 2 * experts),
    dtype,
    inputs: (random) => {
      const inputs = routerInputs(random, options, openness);
      if (zeroTokens) {
        for (let t = 0; t < tokens; t += 3) inputs.x.fill(0, t * hidden, (t + 1) * hidden);
      }
      if (special !== undefined) plant(special, inputs, options);
      return { x: store(inputs.x), w: inputs.w };
    },
    outputs: {
      gates: output([tokens, experts], logits),
      mask: output([tokens, words], EXACT, "i32"),
      counts: output([experts], EXACT, "i32"),
      gate_sums: output([experts], plus(logits, summed(tokens))),
    },
    call(k, at) {
      const status = k.symbols.remoe_relu_router_forward(
        k.handle,
        code,
        at("gates"),
        at("mask"),
        at("counts"),
        at("gate_sums"),
        at("x"),
        at("w"),
        tokens,
        hidden,
        experts,
        GateCode[activation],
      );
      k.check(status, "relu_router_forward");
    },
    reference: ({ x, w }) => {
      const gates = activatedGates(activation, matmul(x, w, tokens, hidden, experts));
      return { gates, ...routingOf(gates, experts), gate_sums: columnSums(gates, experts) };
    },
  });
}

/** Sizes and regularisation of a case of the ReLU router's gradient. */
export interface ReluRouterGradientOptions {
  /** T. */
  readonly tokens: number;
  /** E. */
  readonly experts: number;
  /** The regularisation. */
  readonly balance: ReluBalance;
  /** k. */
  readonly active?: number;
  /** Activation of the logits, by default ReLU. */
  readonly activation?: GateName;
  /** The pull at experts without tokens, by default 0. */
  readonly revive?: number;
}

/** The ReLU router's regularisations; under `transport` the weights are an input of their own. */
type ReluBalance = "none" | "plain" | "load" | "loadSquared" | "transport";

/** lambda and 1/(L T_step), chosen to make the regularisation as large as the rest. */
const LAMBDA = 37.5;
const SCALE = 1 / 96;

/**
 * A case of `remoe_relu_router_gradient`: the loss is <dgates, gates> plus equation 9 or 10, whose
 * f is constant for the derivative.
 *
 * @param options Sizes and regularisation.
 * @returns The case.
 */
export function reluRouterGradientCase(options: ReluRouterGradientOptions): GradientCase {
  const { tokens, experts, balance, active = 1, activation = "relu", revive = 0 } = options;
  const count = tokens * experts;
  const note = `${activation === "relu" ? "" : ` ${activation}`}${revive === 0 ? "" : " reviving"}`;
  return gradientCase({
    name: `relu_router_gradient [${tokens},${experts}] ${balance} k=${active}${note}`,
    operation: "relu_router_gradient",
    symbols: ["remoe_relu_router_gradient"],
    flops: 2 * count,
    bytes: 12 * count,
    inputs: (random) => {
      const logits = random.normal(count).map((z) => Math.abs(z) < 0.01 ? z + 0.02 : z);
      // The last expert is closed for every token, where there is a pull to test.
      if (revive > 0) closeLast(logits, experts);
      const gates = Float32Array.from(activatedGates(activation, doubled(logits)));
      return {
        logits,
        gates,
        dgates: random.normal(count),
        counts: new Int32Array(routingOf(gates, experts).counts),
        weights: random.uniform(experts, { scale: 0.5, mean: 1 }),
        lambda: Float64Array.of(LAMBDA),
      };
    },
    outputs: { dlogits: output([tokens, experts], rounded(activation === "relu" ? 4 : 8, 1)) },
    gradients: { dlogits: { of: "logits" } },
    call(k, at) {
      const status = k.symbols.remoe_relu_router_gradient(
        k.handle,
        at("dlogits"),
        at("dgates"),
        at("gates"),
        at("counts"),
        balance === "transport" ? at("weights") : 0n,
        balance === "none" ? 0n : at("lambda"),
        BalanceCode[balance],
        GateCode[activation],
        active,
        SCALE,
        revive,
        tokens,
        experts,
      );
      k.check(status, "relu_router_gradient");
    },
    loss: ({ logits, dgates, counts, weights }) => {
      const gates = activatedGates(activation, logits);
      const f = balance === "transport" ? weights : balanceWeights(balance, counts, tokens, active);
      const regularization = dot(f, columnSums(gates, experts)) * SCALE;
      const pull = dot(
        Float64Array.from(counts, (n) => n === 0 ? 1 : 0),
        columnSums(logits, experts),
      );
      return dot(dgates, gates) + LAMBDA * regularization - revive * SCALE * pull;
    },
  });
}

/** Makes the last expert's logits negative. */
function closeLast(logits: Float32Array, experts: number): void {
  for (let i = experts - 1; i < logits.length; i += experts) logits[i] = -Math.abs(logits[i]!);
}

/**
 * The gradient computed in place, including gates of exactly 0, directly from the header's formula.
 */
function reluRouterInPlaceCase(balance: BalanceName): OperationCase {
  const [tokens, experts, active] = [13, 9, 2];
  return operationCase({
    name: `relu_router_gradient [${tokens},${experts}] in place ${balance}`,
    operation: "relu_router_gradient",
    symbols: ["remoe_relu_router_gradient"],
    flops: 2 * tokens * experts,
    bytes: 12 * tokens * experts,
    inputs: (random) => {
      const gates = random.normal(tokens * experts).map((z) => Math.max(z, 0));
      return {
        gates,
        dgates: random.normal(tokens * experts),
        counts: new Int32Array(routingOf(gates, experts).counts),
        lambda: Float64Array.of(LAMBDA),
      };
    },
    outputs: { dgates: output([tokens, experts], rounded(4, 1)) },
    call(k, at) {
      const status = k.symbols.remoe_relu_router_gradient(
        k.handle,
        at("dgates"),
        at("dgates"),
        at("gates"),
        at("counts"),
        0n,
        at("lambda"),
        BalanceCode[balance],
        GateCode.relu,
        active,
        SCALE,
        0,
        tokens,
        experts,
      );
      k.check(status, "relu_router_gradient");
    },
    reference: ({ gates, dgates, counts }) => {
      const f = balanceWeights(balance, counts, tokens, active);
      return {
        dgates: dgates.map((dy, i) => gates[i]! > 0 ? dy + LAMBDA * f[i % experts]! * SCALE : 0),
      };
    },
  });
}

/** Cases of the ReLU router. */
export const RELU_ROUTER_CASES: readonly OperationCase[] = [
  reluRouterCase({ tokens: 1, hidden: 1, experts: 1 }),
  reluRouterCase({ tokens: 3, hidden: 5, experts: 7 }),
  reluRouterCase({ tokens: 257, hidden: 64, experts: 8 }),
  reluRouterCase({ tokens: 1024, hidden: 128, experts: 8 }),
  reluRouterCase({ tokens: 61, hidden: 33, experts: 33 }),
  reluRouterCase({ tokens: 130, hidden: 100, experts: 128 }),
  reluRouterCase({ tokens: 1000, hidden: 17, experts: 128 }),
  reluRouterCase({ tokens: 65, hidden: 1, experts: 100 }),
  reluRouterCase({ tokens: 9, hidden: 768, experts: 16 }),
  reluRouterCase({ tokens: 65, hidden: 48, experts: 64 }),
  reluRouterCase({ tokens: 40, hidden: 24, experts: 32, openness: "all" }),
  reluRouterCase({ tokens: 40, hidden: 24, experts: 31, openness: "none" }),
  reluRouterCase({ tokens: 31, hidden: 16, experts: 5, zeroTokens: true }),
  // Not multiples of a tile: elements past the edge must not be counted either.
  ...(["NaN token", "infinite tokens", "NaN expert", "infinite expert"] as const).flatMap(
    (special) => [
      reluRouterCase({ tokens: 67, hidden: 20, experts: 9, special }),
      reluRouterCase({ tokens: 33, hidden: 20, experts: 65, special }),
    ],
  ),
  ...(["none", "plain", "load", "loadSquared"] as const).map(reluRouterInPlaceCase),
  ...(["reluSquared", "tanh"] as const).flatMap((activation) => [
    reluRouterCase({ tokens: 1, hidden: 1, experts: 1, activation }),
    reluRouterCase({ tokens: 257, hidden: 64, experts: 8, activation }),
    reluRouterCase({ tokens: 65, hidden: 48, experts: 64, activation, zeroTokens: true }),
    reluRouterCase({ tokens: 67, hidden: 20, experts: 9, activation, special: "NaN token" }),
  ]),
  ...([
    { tokens: 1, hidden: 1, experts: 1 },
    { tokens: 1024, hidden: 128, experts: 8 },
    { tokens: 61, hidden: 33, experts: 33 },
    { tokens: 130, hidden: 100, experts: 128 },
    { tokens: 31, hidden: 16, experts: 5, zeroTokens: true },
    { tokens: 67, hidden: 20, experts: 9, special: "NaN token" },
    { tokens: 33, hidden: 20, experts: 65, special: "infinite tokens" },
    { tokens: 67, hidden: 20, experts: 9, special: "infinite expert" },
    { tokens: 257, hidden: 64, experts: 8, activation: "reluSquared" },
    { tokens: 65, hidden: 48, experts: 64, activation: "tanh" },
  ] as const).map((options) => reluRouterCase({ ...options, dtype: "bf16" })),
];

/** Cases of its gradient. */
export const RELU_ROUTER_GRADIENT_CASES: readonly GradientCase[] = [
  ...(["none", "plain", "load"] as const).flatMap((balance) => [
    reluRouterGradientCase({ tokens: 1, experts: 1, balance }),
    reluRouterGradientCase({ tokens: 67, experts: 8, balance }),
  ]),
  reluRouterGradientCase({ tokens: 19, experts: 33, balance: "load", active: 2 }),
  reluRouterGradientCase({ tokens: 1024, experts: 8, balance: "load", active: 1 }),
  reluRouterGradientCase({ tokens: 67, experts: 8, balance: "loadSquared", active: 2 }),
  reluRouterGradientCase({ tokens: 67, experts: 8, balance: "transport" }),
  ...(["reluSquared", "tanh"] as const).flatMap((activation) => [
    reluRouterGradientCase({ tokens: 1, experts: 1, balance: "plain", activation }),
    reluRouterGradientCase({ tokens: 67, experts: 33, balance: "load", active: 2, activation }),
  ]),
  reluRouterGradientCase({ tokens: 67, experts: 8, balance: "none", revive: 3 }),
  reluRouterGradientCase({
    tokens: 19,
    experts: 33,
    balance: "load",
    revive: 3,
    activation: "tanh",
  }),
];
