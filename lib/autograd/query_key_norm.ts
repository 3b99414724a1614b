/** RMSNorm of the queries and the keys within a joint projection. @module */

import { DTYPE_BYTES, DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { recordNode } from "../tensor/recorder.ts";
import { stridedLayout } from "../tensor/shape_math.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { accumulateMask, contribute } from "./contribute.ts";

/** Sizes and scales of {@linkcode queryKeyNorm}. */
export interface QueryKeyNormOptions {
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly groups: number;
  /** Size of a head. */
  readonly headDim: number;
  /**
   * Scales of the queries: as many as all heads have columns, which are then normalised together, or
   * as one head has.
   */
  readonly queryScale: DeviceTensor<"f32", readonly [number]>;
  /** Same, for the keys. */
  readonly keyScale: DeviceTensor<"f32", readonly [number]>;
  /** Keeps the root away from zero. */
  readonly epsilon: number;
}

/** Columns of the projection: the queries or the keys. */
interface Part {
  readonly start: number;
  readonly width: number;
  readonly scale: DeviceTensor<"f32", readonly [number]>;
}

/** A normalised part and what its gradient needs. */
interface Normed {
  readonly part: Part;
  readonly x: DeviceTensor;
  readonly inverse: DeviceTensor<"f32">;
}

/**
 * Normalises the queries and the keys of `qkv`, `[T, (heads + 2 · groups) · headDim]`, and passes
 * the values on. The kernels take one tensor with queries, keys and values side by side, so the
 * parts are cut out, normalised and joined again, with the copies freed on the way.
 */
export function queryKeyNorm<R extends Real, T extends number>(
  qkv: DeviceTensor<R, readonly [T, number]>,
  options: QueryKeyNormOptions,
): DeviceTensor<R, readonly [T, number]> {
  const { heads, groups, headDim, queryScale, keyScale, epsilon } = options;
  const { memory } = qkv;
  const [query, key]: [Part, Part] = [
    { start: 0, width: heads * headDim, scale: queryScale },
    { start: heads * headDim, width: groups * headDim, scale: keyScale },
  ];
  const out = memory.allocate(qkv.dtype, qkv.shape);
  const normed = [query, key].map((part): Normed & { readonly y: DeviceTensor } => {
    const x = columns(qkv, part);
    return { part, x, ...normalized(x, part.scale, epsilon) };
  });
  join(out, qkv, normed.map(({ part, y }) => ({ part, values: y })), headDim);
  for (const { y } of normed) y[Symbol.dispose]();
  recordNode({
    operation: "queryKeyNorm",
    inputs: [qkv, queryScale, keyScale],
    outputs: [out],
    saved: normed.flatMap(({ part, x, inverse }) => [x, inverse, part.scale]),
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      const parts = normed.map(({ part, x, inverse }) => {
        const dx = memory.allocate(x.dtype, x.shape);
        using dpart = columns(dy, part);
        const dscale = gradients.into(part.scale);
        const { kernels: k } = memory;
        k.check(
          k.symbols.remoe_rms_norm_gradient(
            k.handle,
            DTYPE_CODE[x.dtype],
            dx.address,
            dscale?.tensor.address ?? 0n,
            dpart.address,
            inverse.address,
            x.address,
            part.scale.address,
            x.size / part.scale.size,
            part.scale.size,
            accumulateMask([null, dscale]),
          ),
          "gradient of queryKeyNorm",
        );
        return { part, values: dx as DeviceTensor };
      });
      contribute(gradients, qkv, qkv.shape, (dqkv) => join(dqkv, dy, parts, headDim));
    },
  });
  return out;
}

/** Copies columns into a tensor of their own. */
function columns(x: DeviceTensor, { start, width }: Part): DeviceTensor {
  const [rows = 0, stride = 0] = x.shape;
  const out = x.memory.allocate(x.dtype, [rows, width]);
  copyStrided(out, 0, x, start, [rows, width], [stride, 1]);
  return out;
}

function normalized(
  x: DeviceTensor,
  scale: DeviceTensor,
  epsilon: number,
): { readonly y: DeviceTensor; readonly inverse: DeviceTensor<"f32"> } {
  const { memory } = x;
  const { kernels: k } = memory;
  const rows = x.size / scale.size;
  const y = memory.allocate(x.dtype, x.shape);
  const inverse = memory.allocate("f32", [rows]);
  k.check(
    k.symbols.remoe_rms_norm_forward(
      k.handle,
      DTYPE_CODE[x.dtype],
      y.address,
      inverse.address,
      x.address,
      scale.address,
      rows,
      scale.size,
      epsilon,
    ),
    "queryKeyNorm",
  );
  return { y, inverse };
}

/**
 * Fills `out` with the parts, and with the remaining columns of `rest`. A strided copy writes densely,
 * so the heads are first put one after the other, `[heads, T, headDim]`.
 */
function join(
  out: DeviceTensor,
  rest: DeviceTensor,
  parts: readonly { readonly part: Part; readonly values: DeviceTensor }[],
  headDim: number,
): void {
  const [rows = 0, stride = 0] = out.shape;
  const byHead = out.memory.allocate(out.dtype, [stride / headDim, rows, headDim]);
  let end = 0;
  for (const { part: { start, width }, values } of parts) {
    copyStrided(byHead, start * rows, values, 0, [width / headDim, rows, headDim], [
      headDim,
      width,
      1,
    ]);
    end = start + width;
  }
  const left = (stride - end) / headDim;
  copyStrided(byHead, end * rows, rest, end, [left, rows, headDim], [headDim, stride, 1]);
  const heads = stride / headDim;
  copyStrided(out, 0, byHead, 0, [rows, heads, headDim], [headDim, rows * headDim, 1]);
  byHead[Symbol.dispose]();
}

/** Copies a strided part of `x`, from element `from` on, to where element `to` of `out` begins. */
function copyStrided(
  out: DeviceTensor,
  to: number,
  x: DeviceTensor,
  from: number,
  shape: readonly number[],
  strides: readonly number[],
): void {
  const { kernels: k } = x.memory;
  const bytes = DTYPE_BYTES[x.dtype];
  k.check(
    k.symbols.remoe_copy_strided(
      k.handle,
      DTYPE_CODE[x.dtype],
      out.address + BigInt(to * bytes),
      x.address + BigInt(from * bytes),
      stridedLayout(shape, strides),
    ),
    "queryKeyNorm",
  );
}
