import {
  doubled,
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { dot } from "./reference/reduction.ts";
import { inverseRms, rmsNorm } from "./reference/rms_norm.ts";
import { activations, type Real } from "./stored.ts";
import { EXACT, plus, rounded, summed } from "./tolerance.ts";

const EPSILON = 1e-5;

/** Sizes and variations of an RMSNorm case. */
export interface RmsNormOptions {
  /** Rows. */
  readonly rows: number;
  /** Columns. */
  readonly columns: number;
  /** Does not keep the inverse root mean square. */
  readonly withoutInverse?: boolean;
  /** Magnitude of the numbers, 1 by default. */
  readonly scale?: number;
  /** Element type of the activations, fp32 by default. */
  readonly dtype?: Real;
}

/**
 * A case of `remoe_rms_norm_forward`.
 *
 * @param options Sizes.
 * @returns The case.
 */
export function rmsNormCase(options: RmsNormOptions): OperationCase {
  const { rows, columns, withoutInverse = false, scale = 1 } = options;
  const { dtype, code, bytes, suffix, rounding, store } = activations(options.dtype);
  const note = withoutInverse ? " without inverse" : "";
  return operationCase({
    name: `rms_norm_forward [${rows},${columns}] of ${scale}${note}${suffix}`,
    operation: "rms_norm_forward",
    symbols: ["remoe_rms_norm_forward"],
    flops: 4 * rows * columns,
    bytes: 2 * bytes * rows * columns + 4 * (columns + rows),
    dtype,
    inputs: (random) => ({
      x: store(random.normal(rows * columns, { scale })),
      weight: random.normal(columns, { mean: 1, scale: 0.3 }),
    }),
    // A sum of squares does not cancel: its relative error grows with sqrt(columns) at most.
    outputs: {
      y: output([rows, columns], plus(rounded(5 + Math.sqrt(columns) / 8), rounding), dtype),
      inverse: output([rows], rounded(5 + Math.sqrt(columns) / 8)),
    },
    unwanted: withoutInverse ? ["inverse"] : [],
    call(k, at) {
      const status = k.symbols.remoe_rms_norm_forward(
        k.handle,
        code,
        at("y"),
        at("inverse"),
        at("x"),
        at("weight"),
        rows,
        columns,
        EPSILON,
      );
      k.check(status, "rms_norm_forward");
    },
    reference: ({ x, weight }) => {
      const epsilon = Math.fround(EPSILON);
      return { y: rmsNorm(x, weight, epsilon), inverse: inverseRms(x, columns, epsilon) };
    },
  });
}

/**
 * A case of `remoe_rms_norm_gradient`.
 *
 * @param rows Rows.
 * @param columns Columns.
 * @param real Element type of the activations, fp32 by default.
 * @returns The case.
 */
export function rmsNormGradientCase(rows: number, columns: number, real?: Real): GradientCase {
  const { dtype, code, bytes, suffix, rounding, store } = activations(real);
  const epsilon = Math.fround(EPSILON);
  return gradientCase({
    name: `rms_norm_gradient [${rows},${columns}]${suffix}`,
    operation: "rms_norm_gradient",
    symbols: ["remoe_rms_norm_gradient"],
    flops: 8 * rows * columns,
    bytes: 3 * bytes * rows * columns + 4 * (2 * columns + rows),
    dtype,
    ...dtype === "f32" ? {} : { inFp32: () => rmsNormGradientCase(rows, columns) },
    inputs: (random) => {
      const x = store(random.normal(rows * columns));
      return {
        x,
        weight: random.normal(columns, { mean: 1, scale: 0.3 }),
        dy: store(random.normal(rows * columns)),
        inverse: Float32Array.from(inverseRms(doubled(x), columns, epsilon)),
      };
    },
    // With one column the terms cancel to 0 after multiplication by an inverse that can reach
    // 1/|x|.
    outputs: {
      dx: output(
        [rows, columns],
        plus(plus(rounded(8), summed(8, columns < 8 ? 100 : 2)), rounding),
        dtype,
      ),
      dweight: output([columns], plus(rounded(6), summed(rows, 1.5))),
    },
    gradients: {
      dx: { of: "x", bit: 0, optional: true },
      dweight: { of: "weight", bit: 1, optional: true },
    },
    call(k, at, accumulate) {
      const status = k.symbols.remoe_rms_norm_gradient(
        k.handle,
        code,
        at("dx"),
        at("dweight"),
        at("dy"),
        at("inverse"),
        at("x"),
        at("weight"),
        rows,
        columns,
        accumulate,
      );
      k.check(status, "rms_norm_gradient");
    },
    loss: ({ x, weight, dy }) => dot(dy, rmsNorm(x, weight, epsilon)),
  });
}

/** Rows of zeros, whose inverse is 1/sqrt(epsilon) and whose output is all zeros. */
function zeroRowsCase(real?: Real): OperationCase {
  const [rows, columns] = [3, 20];
  const { dtype, code, suffix, store } = activations(real);
  return operationCase({
    name: `rms_norm_forward of zeros${suffix}`,
    operation: "rms_norm_forward",
    symbols: ["remoe_rms_norm_forward"],
    flops: 4 * rows * columns,
    bytes: 8 * rows * columns,
    dtype,
    inputs: (random) => ({
      x: store(new Float32Array(rows * columns)),
      weight: random.normal(columns),
    }),
    outputs: { y: output([rows, columns], EXACT, dtype), inverse: output([rows], rounded(4)) },
    call(k, at) {
      const addresses = [at("y"), at("inverse"), at("x"), at("weight")] as const;
      const status = k.symbols.remoe_rms_norm_forward(
        k.handle,
        code,
        ...addresses,
        rows,
        columns,
        EPSILON,
      );
      k.check(status, "rms_norm_forward");
    },
    reference: () => ({
      y: new Float64Array(rows * columns),
      inverse: new Float64Array(rows).fill(1 / Math.sqrt(Math.fround(EPSILON))),
    }),
  });
}

/** Cases of RMSNorm. */
export const RMS_NORM_CASES: readonly OperationCase[] = [
  rmsNormCase({ rows: 1, columns: 1 }),
  rmsNormCase({ rows: 3, columns: 7 }),
  rmsNormCase({ rows: 65, columns: 128 }),
  rmsNormCase({ rows: 5, columns: 1000, withoutInverse: true }),
  rmsNormCase({ rows: 9, columns: 33, scale: 1000 }),
  rmsNormCase({ rows: 9, columns: 33, scale: 1e-3 }),
  rmsNormCase({ rows: 9, columns: 33, scale: 1e25 }),
  zeroRowsCase(),
  ...([
    { rows: 1, columns: 1 },
    { rows: 3, columns: 7 },
    { rows: 65, columns: 128 },
    { rows: 5, columns: 1000, withoutInverse: true },
    { rows: 9, columns: 33, scale: 1e25 },
  ] as const).map((sizes) => rmsNormCase({ ...sizes, dtype: "bf16" })),
  zeroRowsCase("bf16"),
  // Around the longest rows that a GPU's warp holds in registers.
  ...[768, 1536, 2048, 2056].flatMap((columns) => [
    rmsNormCase({ rows: 9, columns }),
    rmsNormCase({ rows: 9, columns, dtype: "bf16" }),
  ]),
];

/** Cases of its gradient. */
export const RMS_NORM_GRADIENT_CASES: readonly GradientCase[] = [
  rmsNormGradientCase(1, 1),
  rmsNormGradientCase(3, 7),
  rmsNormGradientCase(65, 128),
  rmsNormGradientCase(300, 33),
  rmsNormGradientCase(1, 1, "bf16"),
  rmsNormGradientCase(3, 7, "bf16"),
  rmsNormGradientCase(65, 128, "bf16"),
  ...[768, 1000, 1536, 2048, 2056].flatMap((columns) => [
    rmsNormGradientCase(19, columns),
    rmsNormGradientCase(19, columns, "bf16"),
  ]),
];
