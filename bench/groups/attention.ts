import { attentionCase, attentionGradientCase } from "../../kernels/cases/attention.ts";
import { attentionExtendCase } from "../../kernels/cases/attention_extend.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import type { BenchCase } from "../harness/case.ts";
import { fromForward, host, kernelBench, normal } from "../harness/kernel_case.ts";
import type { Sizes } from "../harness/sizes.ts";

/** Sequences that are continued at once, and the tokens that they have so far. */
const CONTINUED = [1, 16] as const;
const CACHED = 300;
/** Tokens that they get at once, as a prompt after a shared prefix. */
const ADDED = 64;
/** Tokens that their cache has room for. */
const CAPACITY = 512;

/**
 * Attention in fp32 and bf16: causal, of a micro-batch, forward and gradient; and of new tokens
 * against a cache, one per sequence or many.
 *
 * @param sizes The model.
 * @returns The cases.
 */
export function attentionCases(sizes: Sizes): BenchCase[] {
  return (["f32", "bf16"] as const).flatMap((dtype) => [
    ...causalCases(sizes, dtype),
    ...CONTINUED.map((count) => extendCase(sizes, count, dtype)),
    extendCase(sizes, 4, dtype, ADDED),
  ]);
}

/** Whether bf16 and attention against a cache are timed only with `--full`. */
function isFull({ model }: Sizes): boolean {
  return model !== "nano" && model !== "182m";
}

function causalCases(sizes: Sizes, dtype: Real): BenchCase[] {
  const { model, batch, sequence, heads, groups, headDim, tokens, columns } = sizes;
  const attention = { batch, sequence, heads, groups, headDim, dtype };
  const outputs = tokens * heads * headDim;
  const forward = attentionCase(attention);
  const qkv = normal(tokens * columns, 1, dtype);
  const shared = { group: "attention", model, full: dtype === "bf16" && isFull(sizes) };
  return [
    kernelBench({ ...shared, kernelCase: forward, operands: () => ({ qkv }) }),
    kernelBench({
      ...shared,
      kernelCase: attentionGradientCase(attention),
      operands: () => ({
        qkv,
        dout: normal(outputs, 1, dtype),
        out: fromForward(outputs, dtype),
        normalizer: fromForward(2 * tokens * heads),
      }),
      forward,
    }),
  ];
}

function extendCase(sizes: Sizes, count: number, dtype: Real, added?: number): BenchCase {
  const { model, heads, groups, headDim, columns } = sizes;
  const lengths = Array<number>(count).fill(CACHED);
  const counts = added === undefined ? undefined : Array<number>(count).fill(added);
  return kernelBench({
    group: "attention",
    model,
    kernelCase: attentionExtendCase({
      ...{ lengths, capacity: CAPACITY, heads, groups, headDim, dtype },
      ...(counts === undefined ? {} : { counts }),
    }),
    operands: () => ({
      qkv: normal(count * (added ?? 1) * columns, 1, dtype),
      cache: normal(count * CAPACITY * 2 * groups * headDim, 1, dtype),
      lengths: host(Int32Array.from(lengths)),
      ...(added === undefined
        ? {}
        : { starts: host(Int32Array.from({ length: count + 1 }, (_, i) => i * added)) }),
    }),
    full: isFull(sizes),
  });
}
