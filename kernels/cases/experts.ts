import {
  doubled,
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { type DispatchOptions, drawGates } from "./dispatch_plan.ts";
import { Random } from "./random.ts";
import { type DispatchPlan, dispatchPlan, planBuffer } from "./reference/dispatch_plan.ts";
import { experts, type ExpertSizes, preActivations } from "./reference/experts.ts";
import { dot } from "./reference/reduction.ts";
import { type Activations, activations, type Real } from "./stored.ts";
import { largestSize, plus, rounded, type Tolerance } from "./tolerance.ts";

/** Sizes and routing of a layer of experts. */
export interface ExpertsOptions extends ExpertSizes, DispatchOptions {
  /** Makes every gate 1 and routes every token: with one expert, a dense feed-forward network. */
  readonly dense?: boolean;
  /** Rows whose pre-activations are kept, at most the capacity; by default all. */
  readonly kept?: number;
  /** Rounds every input to bfloat16, and leaves it in fp32. */
  readonly bf16?: boolean;
  /** Element type of the activations and weights, fp32 by default. */
  readonly dtype?: Real;
}

/** A layer's routing, drawn before its case exists since the capacity is part of the call. */
export interface LayerRouting {
  /** Gates [T, E]. */
  readonly gates: Float32Array<ArrayBuffer>;
  /** Their plan. */
  readonly plan: DispatchPlan;
  /** The plan in the contract's layout. */
  readonly buffer: Int32Array<ArrayBuffer>;
  /** The plan's capacity in rows. */
  readonly capacity: number;
  /** Rows whose pre-activations are kept. */
  readonly kept: number;
}

/**
 * Draws the routing of a case: the same one on every call.
 *
 * @param operation `experts_forward` or `experts_gradient`.
 * @param options Sizes and density.
 * @returns Gates and plan.
 */
export function expertsRouting(operation: string, options: ExpertsOptions): LayerRouting {
  const { tokens, experts, dense, spare = 0 } = options;
  const gates = dense
    ? new Float32Array(tokens * experts).fill(1)
    : drawGates(new Random(`${baseName(operation, options)} gates`), options);
  const plan = dispatchPlan(gates, tokens, experts);
  const capacity = Math.max(1, plan.rows + spare);
  return {
    gates,
    plan,
    buffer: planBuffer(plan, capacity),
    capacity,
    kept: options.kept ?? capacity,
  };
}

function expertsName(operation: string, options: ExpertsOptions): string {
  return `${baseName(operation, options)}${activations(options.dtype).suffix}`;
}

/** The name without the dtype: a case in either has the same routing. */
function baseName(operation: string, options: ExpertsOptions): string {
  const { tokens, hidden, width, density, dense, emptyExpert, spare = 0 } = options;
  return [
    `${operation} [${tokens},${hidden}] E=${options.experts} W=${width}`,
    dense ? "dense" : `density ${density}`,
    emptyExpert === undefined ? "" : `expert ${emptyExpert} empty`,
    spare === 0 ? "" : `spare ${spare}`,
    options.kept === undefined ? "" : `kept ${options.kept}`,
    options.bf16 ? "bf16-rounded" : "",
  ].filter((part) => part !== "").join(" ");
}

/** Inputs and weights scaled so that activations stay near 1, as initialisation aims for. */
function drawLayer(random: Random, options: ExpertsOptions) {
  const { tokens, hidden, width, experts, bf16 = false } = options;
  const { store } = activations(options.dtype);
  return {
    x: store(random.normal(tokens * hidden, { bf16 })),
    w1: store(random.normal(experts * hidden * 2 * width, { scale: 1 / Math.sqrt(hidden), bf16 })),
    w2: store(random.normal(experts * width * hidden, { scale: 1 / Math.sqrt(width), bf16 })),
  };
}

/** Pre-activations of every row of a plan, [N, 2 W]. */
function rowsOfH(
  x: Float64Array,
  w1: Float64Array,
  { rowToken, expertOffset }: DispatchPlan,
  sizes: ExpertSizes,
): Float64Array {
  const h = new Float64Array(rowToken.length * 2 * sizes.width);
  for (let e = 0; e < sizes.experts; e++) {
    for (let row = expertOffset[e]!; row < expertOffset[e + 1]!; row++) {
      h.set(preActivations(x, w1, rowToken[row]!, e, sizes), row * 2 * sizes.width);
    }
  }
  return h;
}

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

/**
 * A case of `remoe_experts_forward`. The reference is the dense, masked sum, so it also shows that
 * dispatching changes nothing.
 *
 * @param options Sizes and routing.
 * @returns The case.
 */
export function expertsCase(options: ExpertsOptions): OperationCase {
  const { tokens, hidden, width } = options;
  const name = expertsName("experts_forward", options);
  const { gates, plan, buffer, capacity, kept } = expertsRouting("experts_forward", options);
  const inDtype = activations(options.dtype);
  const { dtype, code, bytes, rounding } = inDtype;
  // Over the widths of a token's experts, of terms gate * a * w2.
  const terms = width * activeExperts(options);
  const size = largestSize(terms, SWIGLU / Math.sqrt(width), FACTORS);
  const inside = inDtype.boundaries(size, OF_A);
  const isOverflow = plan.rows > capacity;
  return operationCase({
    name,
    operation: "experts_forward",
    symbols: ["remoe_experts_forward"],
    flops: 6 * plan.rows * hidden * width,
    bytes: bytes *
      (2 * tokens * hidden + 3 * options.experts * hidden * width + 2 * plan.rows * width),
    dtype,
    inputs: (random) => ({ ...drawLayer(random, options), gates, plan: buffer }),
    outputs: {
      y: output([tokens, hidden], plus(plus(productTolerance(options), inside), rounding), dtype),
      h: output(
        [capacity, 2 * width],
        plus(inDtype.product(hidden, 1 / Math.sqrt(hidden)), rounding),
        dtype,
      ),
    },
    unwanted: kept === 0 ? ["h"] : [],
    call(k, at) {
      const status = k.symbols.remoe_experts_forward(
        k.handle,
        code,
        at("y"),
        at("h"),
        at("x"),
        at("w1"),
        at("w2"),
        at("gates"),
        at("plan"),
        kept,
        tokens,
        hidden,
        width,
        options.experts,
      );
      k.check(status, "experts_forward");
    },
    // Rows past N are undefined. Rows that are not kept, and all rows after an overflow, must be
    // untouched, which reads as NaN.
    defined: (outputs) => {
      if (kept === 0 || isOverflow) return outputs;
      const end = kept < plan.rows ? capacity : plan.rows;
      return { y: outputs.y, h: Array.from(outputs.h).slice(0, end * 2 * width) };
    },
    reference: ({ x, w1, w2, gates }) => {
      if (isOverflow) {
        const h = new Float64Array(capacity * 2 * width).fill(NaN);
        return { y: new Float64Array(tokens * hidden), h };
      }
      const h = rowsOfH(x, w1, plan, options);
      if (kept >= plan.rows) return { y: experts(x, w1, w2, gates, options), h };
      const partly = new Float64Array(capacity * 2 * width).fill(NaN);
      partly.set(h.subarray(0, kept * 2 * width));
      return { y: experts(x, w1, w2, gates, options), h: partly };
    },
  });
}

/**
 * A case of `remoe_experts_gradient`.
 *
 * @param options Sizes and routing.
 * @param samples Elements of each input to differentiate individually.
 * @returns The case.
 */
export function expertsGradientCase(options: ExpertsOptions, samples = 12): GradientCase {
  const { tokens, hidden, width } = options;
  const name = expertsName("experts_gradient", options);
  const { gates, plan, buffer, capacity, kept } = expertsRouting("experts_gradient", options);
  const largest = Math.max(
    ...plan.expertOffset.map((end, e) => end - (plan.expertOffset[e - 1] ?? 0)),
  );
  // dA' = dy W2^T has a magnitude of sqrt(D / W), and so does dH.
  const upstream = Math.sqrt(hidden / width);
  const inDtype = activations(options.dtype);
  const { dtype, code, bytes, rounding, store } = inDtype;
  const product = productTolerance(options);
  const flowing = plus(product, { rtol: 0, atol: 2 * upstream * product.atol });
  const weights = plus(flowing, inDtype.product(largest, 1 + upstream));
  const perGate = plus(flowing, inDtype.product(width, upstream));
  const inside = insideGradient(inDtype, options, largest);
  return gradientCase({
    name,
    operation: "experts_gradient",
    symbols: ["remoe_experts_gradient"],
    samples,
    flops: 12 * plan.rows * hidden * width,
    bytes: bytes *
      (3 * tokens * hidden + 6 * options.experts * hidden * width + 2 * plan.rows * width),
    dtype,
    ...dtype === "f32"
      ? {}
      : { inFp32: () => expertsGradientCase({ ...options, dtype: "f32" }, samples) },
    inputs: (random) => {
      const layer = drawLayer(random, options);
      const h = new Float32Array(capacity * 2 * width).fill(NaN);
      const all = rowsOfH(doubled(layer.x), doubled(layer.w1), plan, options);
      h.set(all.subarray(0, kept * 2 * width));
      return {
        ...layer,
        gates,
        dy: store(random.normal(tokens * hidden, { bf16: options.bf16 ?? false })),
        h: store(h),
        plan: buffer,
      };
    },
    outputs: {
      dx: output([tokens, hidden], plus(plus(flowing, inside.dx), rounding), dtype),
      dw1: output([options.experts, hidden, 2 * width], plus(weights, inside.dw1)),
      dw2: output([options.experts, width, hidden], plus(weights, inside.dw2)),
      dgates: output([tokens, options.experts], plus(perGate, inside.dgates)),
    },
    gradients: {
      dx: { of: "x", bit: 0, optional: true },
      dw1: { of: "w1", bit: 1, optional: true },
      dw2: { of: "w2", bit: 2, optional: true },
      dgates: {
        of: "gates",
        bit: 3,
        optional: true,
        where: (index, inputs) => inputs.gates![index] !== 0,
        elsewhere: "zero",
      },
    },
    call(k, at, accumulate) {
      const status = k.symbols.remoe_experts_gradient(
        k.handle,
        code,
        at("dx"),
        at("dw1"),
        at("dw2"),
        at("dgates"),
        at("dy"),
        at("h"),
        at("x"),
        at("w1"),
        at("w2"),
        at("gates"),
        at("plan"),
        kept,
        tokens,
        hidden,
        width,
        options.experts,
        accumulate,
      );
      k.check(status, "experts_gradient");
    },
    loss: ({ x, w1, w2, gates, dy }) => dot(dy, experts(x, w1, w2, gates, options)),
  });
}

/**
 * The roundings inside the gradient: dx sums dg and du times w1 over the widths of a token's experts,
 * dw1 and dw2 sum x times dg or du, and a times dy, over an expert's rows, and a gate's gradient sums
 * dA' times silu(g) * u over the width.
 */
function insideGradient(
  { boundaries }: Activations,
  options: ExpertsOptions,
  rows: number,
): Record<"dx" | "dw1" | "dw2" | "dgates", Tolerance> {
  const { hidden, width } = options;
  const upstream = SWIGLU * Math.sqrt(hidden / width);
  const terms = 2 * width * activeExperts(options);
  return {
    dx: boundaries(largestSize(terms, upstream / Math.sqrt(hidden), FACTORS), OF_DH),
    dw1: boundaries(largestSize(rows, upstream, FACTORS), OF_DH),
    dw2: boundaries(largestSize(rows, SWIGLU, FACTORS), OF_A),
    dgates: boundaries(largestSize(width, upstream, FACTORS), OF_DH),
  };
}

/** Layers tried in both directions. */
const LAYERS: readonly ExpertsOptions[] = [
  { tokens: 1, hidden: 1, width: 1, experts: 1, density: 1, dense: true },
  { tokens: 23, hidden: 12, width: 20, experts: 1, density: 1, dense: true },
  { tokens: 40, hidden: 24, width: 300, experts: 1, density: 1, dense: true },
  { tokens: 5, hidden: 3, width: 5, experts: 3, density: 0.5 },
  { tokens: 37, hidden: 16, width: 24, experts: 4, density: 0.3, emptyExpert: 1, spare: 7 },
  { tokens: 33, hidden: 17, width: 19, experts: 7, density: 0.2 },
  { tokens: 29, hidden: 24, width: 16, experts: 8, density: 1 },
  { tokens: 19, hidden: 8, width: 8, experts: 3, density: 0 },
  { tokens: 40, hidden: 32, width: 16, experts: 33, density: 0.1, bf16: true },
];

/** More rows for one expert than any tile holds. */
const TALL: ExpertsOptions = { tokens: 1100, hidden: 12, width: 10, experts: 2, density: 0.9 };
/** Several tiles of rows and several blocks of columns at once. */
const BLOCKS: ExpertsOptions = { tokens: 300, hidden: 40, width: 150, experts: 2, density: 0.95 };
/** The sizes of the `nano` preset, with fewer tokens and experts. */
const NANO: ExpertsOptions = { tokens: 64, hidden: 128, width: 512, experts: 3, density: 0.3 };

/**
 * As many rows for one expert as a tile's chunk has columns, which is not a multiple of a block of
 * rows.
 */
const CHUNK: ExpertsOptions = { tokens: 64, hidden: 20, width: 12, experts: 1, density: 1 };

/** So few rows that the weights are read in place, which happens only if no row is kept. */
const FEW_ROWS: readonly ExpertsOptions[] = [
  { tokens: 3, hidden: 45, width: 600, experts: 1, density: 1, dense: true, kept: 0 },
  { tokens: 1, hidden: 17, width: 19, experts: 7, density: 0.3, kept: 0 },
  { tokens: 2, hidden: 9, width: 260, experts: 3, density: 0.6, emptyExpert: 1, kept: 0 },
];

/** Pre-activations kept for no row, for some, and up to the middle of a block of rows. */
const PARTLY_KEPT: readonly ExpertsOptions[] = [
  { tokens: 37, hidden: 16, width: 24, experts: 4, density: 0.3, kept: 0 },
  { tokens: 37, hidden: 70, width: 90, experts: 4, density: 0.5, kept: 31 },
  { ...TALL, kept: 900 },
];

/** More rows than the plan has room for. */
const OVERFLOWING: ExpertsOptions = {
  ...{ tokens: 37, hidden: 16, width: 24, experts: 4, density: 0.5 },
  spare: -3,
};

/** The same layer with activations and weights of bfloat16. */
function inBf16({ bf16: _, ...layer }: ExpertsOptions): ExpertsOptions {
  return { ...layer, dtype: "bf16" };
}

/** Cases of the experts. */
export const EXPERTS_CASES: readonly OperationCase[] = [
  ...LAYERS.map(expertsCase),
  expertsCase(TALL),
  expertsCase(BLOCKS),
  expertsCase(NANO),
  expertsCase(CHUNK),
  ...PARTLY_KEPT.map(expertsCase),
  ...FEW_ROWS.map(expertsCase),
  expertsCase(OVERFLOWING),
  ...[...LAYERS, TALL, BLOCKS, NANO, CHUNK, ...PARTLY_KEPT, ...FEW_ROWS, OVERFLOWING].map((layer) =>
    expertsCase(inBf16(layer))
  ),
];

/** Cases of their gradients. */
export const EXPERTS_GRADIENT_CASES: readonly GradientCase[] = [
  ...LAYERS.map((layer) => expertsGradientCase(layer)),
  expertsGradientCase(TALL, 6),
  expertsGradientCase(BLOCKS, 3),
  expertsGradientCase(NANO, 2),
  expertsGradientCase(CHUNK),
  ...PARTLY_KEPT.map((layer) => expertsGradientCase(layer, 4)),
  ...[...LAYERS, CHUNK].map((layer) => expertsGradientCase(inBf16(layer), 3)),
  ...[TALL, BLOCKS, NANO, ...PARTLY_KEPT].map((layer) => expertsGradientCase(inBf16(layer), 1)),
];
