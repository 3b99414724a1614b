import {
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { swiglu } from "./reference/experts.ts";
import { dot } from "./reference/reduction.ts";
import { activations, type Real } from "./stored.ts";
import { plus, rounded } from "./tolerance.ts";

/**
 * A case of `remoe_swiglu_forward`.
 *
 * @param rows Rows.
 * @param width W.
 * @param real Element type, fp32 by default.
 * @returns The case.
 */
export function swigluCase(rows: number, width: number, real?: Real): OperationCase {
  const { dtype, code, bytes, suffix, rounding, store } = activations(real);
  return operationCase({
    name: `swiglu_forward [${rows},2*${width}]${suffix}`,
    operation: "swiglu_forward",
    symbols: ["remoe_swiglu_forward"],
    flops: 6 * rows * width,
    bytes: 3 * bytes * rows * width,
    dtype,
    inputs: (random) => ({ h: store(random.normal(2 * rows * width, { scale: 4 })) }),
    outputs: { a: output([rows, width], plus(rounded(8), rounding), dtype) },
    call(k, at) {
      const status = k.symbols.remoe_swiglu_forward(
        k.handle,
        code,
        at("a"),
        at("h"),
        rows,
        width,
      );
      k.check(status, "swiglu_forward");
    },
    reference: ({ h }) => ({ a: swiglu(h, width) }),
  });
}

/**
 * A case of `remoe_swiglu_gradient`.
 *
 * @param rows Rows.
 * @param width W.
 * @param real Element type, fp32 by default.
 * @returns The case.
 */
export function swigluGradientCase(rows: number, width: number, real?: Real): GradientCase {
  const { dtype, code, bytes, suffix, rounding, store } = activations(real);
  return gradientCase({
    name: `swiglu_gradient [${rows},2*${width}]${suffix}`,
    operation: "swiglu_gradient",
    symbols: ["remoe_swiglu_gradient"],
    flops: 12 * rows * width,
    bytes: 5 * bytes * rows * width,
    dtype,
    ...dtype === "f32" ? {} : { inFp32: () => swigluGradientCase(rows, width) },
    inputs: (random) => ({
      h: store(random.normal(2 * rows * width, { scale: 2 })),
      da: store(random.normal(rows * width)),
    }),
    outputs: { dh: output([rows, 2 * width], plus(rounded(10, 1), rounding), dtype) },
    gradients: { dh: { of: "h", bit: 0 } },
    call(k, at, accumulate) {
      const addresses = [at("dh"), at("da"), at("h")] as const;
      const status = k.symbols.remoe_swiglu_gradient(
        k.handle,
        code,
        ...addresses,
        rows,
        width,
        accumulate,
      );
      k.check(status, "swiglu_gradient");
    },
    loss: ({ h, da }) => dot(da, swiglu(h, width)),
  });
}

/** Cases of SwiGLU on its own. */
export const SWIGLU_CASES: readonly OperationCase[] = [
  swigluCase(1, 1),
  swigluCase(7, 13),
  swigluCase(65, 128),
  swigluCase(1, 1, "bf16"),
  swigluCase(7, 13, "bf16"),
  swigluCase(65, 128, "bf16"),
];

/** Cases of its gradient. */
export const SWIGLU_GRADIENT_CASES: readonly GradientCase[] = [
  swigluGradientCase(1, 1),
  swigluGradientCase(7, 13),
  swigluGradientCase(33, 64),
  swigluGradientCase(1, 1, "bf16"),
  swigluGradientCase(7, 13, "bf16"),
  swigluGradientCase(33, 64, "bf16"),
];
