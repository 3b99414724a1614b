import { DTypeCode } from "../../lib/ffi/mod.ts";
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
}

/**
 * A case of `remoe_rms_norm_forward`.
 *
 * @param options Sizes.
 * @returns The case.
 */
export function rmsNormCase(options: RmsNormOptions): OperationCase {
  const { rows, columns, withoutInverse = false, scale = 1 } = options;
  const note = withoutInverse ? " without inverse" : "";
  return operationCase({
    name: `rms_norm_forward [${rows},${columns}] of ${scale}${note}`,
    operation: "rms_norm_forward",
    symbols: ["remoe_rms_norm_forward"],
    flops: 4 * rows * columns,
    bytes: 4 * (2 * rows * columns + columns + rows),
    inputs: (random) => ({
      x: random.normal(rows * columns, { scale }),
      weight: random.normal(columns, { mean: 1, scale: 0.3 }),
    }),
    // A sum of squares does not cancel: its relative error grows with sqrt(columns) at most.
    outputs: {
      y: output([rows, columns], rounded(5 + Math.sqrt(columns) / 8)),
      inverse: output([rows], rounded(5 + Math.sqrt(columns) / 8)),
    },
    unwanted: withoutInverse ? ["inverse"] : [],
    call(k, at) {
      const status = k.symbols.remoe_rms_norm_forward(
        k.handle,
        DTypeCode.f32,
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
 * @returns The case.
 */
export function rmsNormGradientCase(rows: number, columns: number): GradientCase {
  const epsilon = Math.fround(EPSILON);
  return gradientCase({
    name: `rms_norm_gradient [${rows},${columns}]`,
    operation: "rms_norm_gradient",
    symbols: ["remoe_rms_norm_gradient"],
    flops: 8 * rows * columns,
    bytes: 4 * (3 * rows * columns + 2 * columns + rows),
    inputs: (random) => {
      const x = random.normal(rows * columns);
      return {
        x,
        weight: random.normal(columns, { mean: 1, scale: 0.3 }),
        dy: random.normal(rows * columns),
        inverse: Float32Array.from(inverseRms(doubled(x), columns, epsilon)),
      };
    },
    // With one column the terms cancel to 0 after multiplication by an inverse that can reach
    // 1/|x|.
    outputs: {
      dx: output([rows, columns], plus(rounded(8), summed(8, columns < 8 ? 100 : 2))),
      dweight: output([columns], plus(rounded(6), summed(rows, 1.5))),
    },
    gradients: {
      dx: { of: "x", bit: 0, optional: true },
      dweight: { of: "weight", bit: 1, optional: true },
    },
    call(k, at, accumulate) {
      const status = k.symbols.remoe_rms_norm_gradient(
        k.handle,
        DTypeCode.f32,
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
function zeroRowsCase(): OperationCase {
  const [rows, columns] = [3, 20];
  return operationCase({
    name: "rms_norm_forward of zeros",
    operation: "rms_norm_forward",
    symbols: ["remoe_rms_norm_forward"],
    flops: 4 * rows * columns,
    bytes: 8 * rows * columns,
    inputs: (random) => ({
      x: new Float32Array(rows * columns),
      weight: random.normal(columns),
    }),
    outputs: { y: output([rows, columns], EXACT), inverse: output([rows], rounded(4)) },
    call(k, at) {
      const addresses = [at("y"), at("inverse"), at("x"), at("weight")] as const;
      const status = k.symbols.remoe_rms_norm_forward(
        k.handle,
        DTypeCode.f32,
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
];

/** Cases of its gradient. */
export const RMS_NORM_GRADIENT_CASES: readonly GradientCase[] = [
  rmsNormGradientCase(1, 1),
  rmsNormGradientCase(3, 7),
  rmsNormGradientCase(65, 128),
  rmsNormGradientCase(300, 33),
];
