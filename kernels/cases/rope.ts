import {
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { dot } from "./reference/reduction.ts";
import { rope, type RopeSizes } from "./reference/rope.ts";
import { activations, type Real } from "./stored.ts";
import { plus, rounded, type Tolerance } from "./tolerance.ts";

function ropeName(operation: string, sizes: RopeSizes): string {
  const { rows, stride, sequence, heads, headDim, base, offset } = sizes;
  return `${operation} [${rows},${stride}] S=${sequence} ${heads} heads of ${headDim} ` +
    `base ${base} offset ${offset}`;
}

/** An angle computed in fp32 is accurate to an ulp of the position. */
function ropeTolerance({ sequence, offset }: RopeSizes): Tolerance {
  return rounded(4, 1 + Math.min(sequence + offset, 256) / 8);
}

/**
 * A case of `remoe_rope`.
 *
 * @param sizes Sizes and angles.
 * @param real Element type, fp32 by default.
 * @returns The case.
 */
export function ropeCase(sizes: RopeSizes, real?: Real): OperationCase {
  const { dtype, code, bytes, suffix, rounding, store } = activations(real);
  const { rows, stride, sequence, heads, headDim, base, offset } = sizes;
  return operationCase({
    name: `${ropeName("rope", sizes)}${suffix}`,
    operation: "rope",
    symbols: ["remoe_rope"],
    flops: 3 * rows * heads * headDim,
    bytes: 2 * bytes * rows * heads * headDim,
    dtype,
    inputs: (random) => ({ x: store(random.normal(rows * stride)) }),
    outputs: { x: output([rows, stride], plus(ropeTolerance(sizes), rounding), dtype) },
    call(k, at) {
      const status = k.symbols.remoe_rope(
        k.handle,
        code,
        at("x"),
        rows,
        stride,
        sequence,
        heads,
        headDim,
        base,
        offset,
        0,
      );
      k.check(status, "rope");
    },
    reference: ({ x }) => ({ x: rope(x, sizes) }),
  });
}

/**
 * A case of `remoe_rope` as its own gradient: the inverse rotation is the transpose.
 *
 * @param sizes Sizes and angles.
 * @param real Element type, fp32 by default.
 * @returns The case.
 */
export function ropeGradientCase(sizes: RopeSizes, real?: Real): GradientCase {
  const { dtype, code, bytes, suffix, rounding, store } = activations(real);
  const { rows, stride, sequence, heads, headDim, base, offset } = sizes;
  return gradientCase({
    name: `${ropeName("rope inverse", sizes)}${suffix}`,
    operation: "rope",
    symbols: ["remoe_rope"],
    flops: 3 * rows * heads * headDim,
    bytes: 2 * bytes * rows * heads * headDim,
    dtype,
    ...dtype === "f32" ? {} : { inFp32: () => ropeGradientCase(sizes) },
    inputs: (random) => ({
      x: store(random.normal(rows * stride)),
      dy: store(random.normal(rows * stride)),
    }),
    outputs: { dy: output([rows, stride], plus(ropeTolerance(sizes), rounding), dtype) },
    gradients: { dy: { of: "x" } },
    call(k, at) {
      const status = k.symbols.remoe_rope(
        k.handle,
        code,
        at("dy"),
        rows,
        stride,
        sequence,
        heads,
        headDim,
        base,
        offset,
        1,
      );
      k.check(status, "rope");
    },
    loss: ({ x, dy }) => dot(dy, rope(x, sizes)),
  });
}

const ROPES: readonly RopeSizes[] = [
  { rows: 1, stride: 2, sequence: 1, heads: 1, headDim: 2, base: 10_000, offset: 0 },
  { rows: 10, stride: 12, sequence: 5, heads: 2, headDim: 6, base: 10_000, offset: 0 },
  { rows: 21, stride: 41, sequence: 7, heads: 3, headDim: 10, base: 1e6, offset: 100 },
  { rows: 64, stride: 256, sequence: 32, heads: 6, headDim: 32, base: 1e6, offset: 0 },
  { rows: 300, stride: 96, sequence: 300, heads: 1, headDim: 96, base: 1e6, offset: 0 },
];

/** Cases of the rotary embedding. */
export const ROPE_CASES: readonly OperationCase[] = (["f32", "bf16"] as const).flatMap((dtype) =>
  ROPES.map((sizes) => ropeCase(sizes, dtype))
);

/** Cases of its inverse. */
export const ROPE_GRADIENT_CASES: readonly GradientCase[] = [
  ...ROPES.map((sizes) => ropeGradientCase(sizes)),
  ...ROPES.slice(0, 3).map((sizes) => ropeGradientCase(sizes, "bf16")),
];
