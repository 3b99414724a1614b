import { DTypeCode } from "../../lib/ffi/mod.ts";
import {
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { swiglu } from "./reference/experts.ts";
import { dot } from "./reference/reduction.ts";
import { rounded } from "./tolerance.ts";

/**
 * A case of `remoe_swiglu_forward`.
 *
 * @param rows Rows.
 * @param width W.
 * @returns The case.
 */
export function swigluCase(rows: number, width: number): OperationCase {
  return operationCase({
    name: `swiglu_forward [${rows},2*${width}]`,
    operation: "swiglu_forward",
    symbols: ["remoe_swiglu_forward"],
    flops: 6 * rows * width,
    bytes: 12 * rows * width,
    inputs: (random) => ({ h: random.normal(2 * rows * width, { scale: 4 }) }),
    outputs: { a: output([rows, width], rounded(8)) },
    call(k, at) {
      const status = k.symbols.remoe_swiglu_forward(
        k.handle,
        DTypeCode.f32,
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
 * @returns The case.
 */
export function swigluGradientCase(rows: number, width: number): GradientCase {
  return gradientCase({
    name: `swiglu_gradient [${rows},2*${width}]`,
    operation: "swiglu_gradient",
    symbols: ["remoe_swiglu_gradient"],
    flops: 12 * rows * width,
    bytes: 20 * rows * width,
    inputs: (random) => ({
      h: random.normal(2 * rows * width, { scale: 2 }),
      da: random.normal(rows * width),
    }),
    outputs: { dh: output([rows, 2 * width], rounded(10, 1)) },
    gradients: { dh: { of: "h", bit: 0 } },
    call(k, at, accumulate) {
      const addresses = [at("dh"), at("da"), at("h")] as const;
      const status = k.symbols.remoe_swiglu_gradient(
        k.handle,
        DTypeCode.f32,
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
];

/** Cases of its gradient. */
export const SWIGLU_GRADIENT_CASES: readonly GradientCase[] = [
  swigluGradientCase(1, 1),
  swigluGradientCase(7, 13),
  swigluGradientCase(33, 64),
];
