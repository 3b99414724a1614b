import {
  doubled,
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { expertsGradientTolerances, expertsTolerances } from "./experts_accuracy.ts";
import {
  drawLayer,
  expertsName,
  type ExpertsOptions,
  expertsRouting,
  rowsOfH,
} from "./experts_layer.ts";
import { experts } from "./reference/experts.ts";
import { dot } from "./reference/reduction.ts";
import { activations } from "./stored.ts";

export { type ExpertsOptions, expertsRouting } from "./experts_layer.ts";

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
  const { dtype, code, bytes } = activations(options.dtype);
  const tolerances = expertsTolerances(options);
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
      y: output([tokens, hidden], tolerances.y, dtype),
      h: output([capacity, 2 * width], tolerances.h, dtype),
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
  const { dtype, code, bytes, store } = activations(options.dtype);
  const tolerances = expertsGradientTolerances(options, largest);
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
      dx: output([tokens, hidden], tolerances.dx, dtype),
      dw1: output([options.experts, hidden, 2 * width], tolerances.dw1),
      dw2: output([options.experts, width, hidden], tolerances.dw2),
      dgates: output([tokens, options.experts], tolerances.dgates),
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

/**
 * Rows of 16 bytes or a multiple, as tensor cores take them: several tiles of rows, columns and
 * depth, kept up to the middle of one or not at all.
 */
const ALIGNED: readonly ExpertsOptions[] = [
  { tokens: 300, hidden: 136, width: 264, experts: 3, density: 0.6, kept: 200 },
  { tokens: 290, hidden: 264, width: 40, experts: 1, density: 0.95 },
  { tokens: 150, hidden: 64, width: 136, experts: 5, density: 0.4, emptyExpert: 2, kept: 0 },
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
  ...[
    ...LAYERS,
    ...[TALL, BLOCKS, NANO, CHUNK],
    ...[...PARTLY_KEPT, ...FEW_ROWS, ...ALIGNED],
    OVERFLOWING,
  ].map((layer) => expertsCase(inBf16(layer))),
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
  ...[TALL, BLOCKS, NANO, ...PARTLY_KEPT, ...ALIGNED].map((layer) =>
    expertsGradientCase(inBf16(layer), 1)
  ),
];
