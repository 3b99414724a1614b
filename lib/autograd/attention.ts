/** Causal grouped-query attention with rotary position embeddings. @module */

import {
  LARGEST_SIZE,
  requireFinite,
  requireFlag,
  requireOptions,
  requireWhole,
} from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { DTYPE_BYTES, DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { overwritten, realOperand } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { copyInto } from "../tensor/transfer.ts";
import { addTo } from "./contribute.ts";

/** Sizes of {@linkcode causalAttention}. */
export interface CausalAttentionOptions {
  /** Tokens per sequence; must divide the number of rows. */
  sequence: number;
  /** Query heads. */
  heads: number;
  /** Groups of query heads that share a key and a value head; must divide `heads`. */
  groups: number;
  /** Base of the rotary angles. Default 1e6, as in the paper. */
  ropeBase?: number;
  /**
   * Rotates `qkv` itself rather than a copy, which saves memory. Only for a tensor that nothing
   * else reads, such as a fresh projection; parameters and watched tensors are refused. Default
   * false.
   */
  inPlace?: boolean;
}

/** Sizes derived from the options and the input. */
interface AttentionSizes {
  readonly rows: number;
  readonly stride: number;
  readonly batch: number;
  readonly headDim: number;
}

/**
 * Rotates queries and keys by their positions, then attends causally within each sequence. The
 * matrix of scores is never materialised.
 *
 * The columns of `qkv` are `[heads queries | groups keys | groups values]`, each `head_dim` wide: a
 * single projection computes all three.
 *
 * @param qkv `[batch · sequence, (heads + 2 · groups) · head_dim]`, f32 or bf16.
 * @param given Sequence length, heads and groups.
 * @returns `[batch · sequence, heads · head_dim]`, of the same type.
 * @throws {ShapeMismatchError} If the sizes are not divisible as required.
 * @throws {RangeError} If a numeric option is not positive.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { causalAttention, Device } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const qkv = device.normal([2 * 16, (4 + 2 * 2) * 8]);
 * const y = causalAttention(qkv, { sequence: 16, heads: 4, groups: 2 });
 * assert(y.shape[1] === 32);
 * ```
 */
export function causalAttention<R extends number, D extends Real = "f32">(
  qkv: Tensor<D, readonly [R, number]>,
  given: CausalAttentionOptions,
): Tensor<D, readonly [R, number]> {
  const source = realOperand("apply causalAttention to", qkv);
  requireOptions("apply causalAttention", given, {
    sequence: true,
    heads: true,
    groups: true,
    ropeBase: true,
    inPlace: true,
  });
  // Copied: the backward pass reads them again, and the caller may have changed them by then.
  const options = { ...given };
  const sizes = attentionSizes(source, options);
  const { rows, headDim } = sizes;
  const { memory } = source;
  const rotated = options.inPlace ? overwritten("apply causalAttention", source) : copyOf(source);
  rotate(rotated, sizes, options, false);
  const out = memory.allocate(
    source.dtype,
    [rows, options.heads * headDim] as unknown as readonly [R, number],
  );
  const normalizer = memory.allocate("f32", [rows, options.heads, 2]);
  attentionForward(out, normalizer, rotated, sizes, options);
  recordNode({
    operation: "causalAttention",
    inputs: [source],
    outputs: [out],
    saved: [rotated, out, normalizer],
    backward(gradients) {
      const dout = gradients.of(out);
      const target = dout && gradients.into(source);
      if (!dout || !target) return;
      const { dtype } = source;
      const isDirect = target.accumulate === 0 && target.tensor.dtype === dtype;
      const dqkv = isDirect ? target.tensor : memory.allocate(dtype, source.shape);
      attentionGradient(dqkv, dout, out, normalizer, rotated, sizes, options);
      // Rotations are orthogonal: the gradient rotates back by the same angle.
      rotate(dqkv, sizes, options, true);
      if (!isDirect) addTo(target, dqkv);
    },
  });
  return out;
}

function attentionSizes(qkv: DeviceTensor, options: CausalAttentionOptions): AttentionSizes {
  const { sequence, heads, groups, ropeBase = 1e6, inPlace = false } = options;
  for (const [name, value] of Object.entries({ sequence, heads, groups })) {
    requireWhole("apply causalAttention", name, value, { least: 1, most: LARGEST_SIZE });
  }
  requireFinite("apply causalAttention", "ropeBase", ropeBase, { above: 0 });
  requireFlag("apply causalAttention", "inPlace", inPlace);
  const [rows = 0, stride = 0] = qkv.shape;
  const headDim = stride / (heads + 2 * groups);
  if (
    qkv.shape.length !== 2 || rows % sequence !== 0 || heads % groups !== 0 ||
    !Number.isInteger(headDim) || headDim % 2 !== 0
  ) {
    throw new ShapeMismatchError(
      `Cannot attend over ${showShape(qkv.shape)} with sequence ${sequence}, ${heads} heads and ` +
        `${groups} groups: rows must be a multiple of the sequence, heads of the groups, and columns ` +
        `must be (heads + 2 · groups) times an even head size`,
    );
  }
  return { rows, stride, batch: rows / sequence, headDim };
}

/** Queries and keys are adjacent columns, so one call rotates both. */
function rotate(
  x: DeviceTensor,
  { rows, stride, headDim }: AttentionSizes,
  { sequence, heads, groups, ropeBase = 1e6 }: CausalAttentionOptions,
  inverse: boolean,
): void {
  const { kernels: k } = x.memory;
  k.check(
    k.symbols.remoe_rope(
      k.handle,
      DTYPE_CODE[x.dtype],
      x.address,
      rows,
      stride,
      sequence,
      heads + groups,
      headDim,
      ropeBase,
      0,
      inverse ? 1 : 0,
    ),
    "rope",
  );
}

/** Addresses of the first query, key and value of `qkv`. */
function columnsOf(
  qkv: DeviceTensor,
  { headDim }: AttentionSizes,
  { heads, groups }: CausalAttentionOptions,
): [q: bigint, k: bigint, v: bigint] {
  const base = qkv.address;
  const bytes = DTYPE_BYTES[qkv.dtype];
  return [
    base,
    base + BigInt(heads * headDim * bytes),
    base + BigInt((heads + groups) * headDim * bytes),
  ];
}

function attentionForward(
  out: DeviceTensor,
  normalizer: DeviceTensor,
  qkv: DeviceTensor,
  sizes: AttentionSizes,
  options: CausalAttentionOptions,
): void {
  const { kernels } = qkv.memory;
  const [q, k, v] = columnsOf(qkv, sizes, options);
  kernels.check(
    kernels.symbols.remoe_attention_forward(
      kernels.handle,
      DTYPE_CODE[qkv.dtype],
      out.address,
      normalizer.address,
      q,
      k,
      v,
      sizes.batch,
      options.sequence,
      options.heads,
      options.groups,
      sizes.headDim,
      sizes.stride,
    ),
    "causalAttention",
  );
}

function attentionGradient(
  dqkv: DeviceTensor,
  dout: DeviceTensor,
  out: DeviceTensor,
  normalizer: DeviceTensor,
  qkv: DeviceTensor,
  sizes: AttentionSizes,
  options: CausalAttentionOptions,
): void {
  const { kernels } = qkv.memory;
  const [q, k, v] = columnsOf(qkv, sizes, options);
  const [dq, dk, dv] = columnsOf(dqkv, sizes, options);
  kernels.check(
    kernels.symbols.remoe_attention_gradient(
      kernels.handle,
      DTYPE_CODE[qkv.dtype],
      dq,
      dk,
      dv,
      dout.address,
      out.address,
      normalizer.address,
      q,
      k,
      v,
      sizes.batch,
      options.sequence,
      options.heads,
      options.groups,
      sizes.headDim,
      sizes.stride,
    ),
    "gradient of causalAttention",
  );
}

function copyOf(x: DeviceTensor): DeviceTensor {
  const copy = x.memory.allocate(x.dtype, x.shape);
  copyInto(copy, x);
  return copy;
}
