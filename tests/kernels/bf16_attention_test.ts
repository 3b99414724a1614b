import { assertLess } from "@std/assert";
import { Random } from "../../kernels/cases/random.ts";
import { roundedBits, widenedBits } from "./bf16_bits.ts";
import {
  assertRounds,
  assertSameBits,
  BEST,
  type Bytes,
  openWith,
  runInBoth,
} from "./run_in_bf16.ts";
import type { StorageCall } from "./storage_calls.ts";

/** Sizes of attention: blocks that are not full, heads that are not whole vectors, odd strides. */
interface Shape {
  readonly batch: number;
  readonly sequence: number;
  readonly heads: number;
  readonly groups: number;
  readonly headDim: number;
  readonly stride: number;
}

const SHAPES: readonly Shape[] = [
  { batch: 2, sequence: 131, heads: 4, groups: 2, headDim: 32, stride: 128 },
  { batch: 1, sequence: 200, heads: 3, groups: 1, headDim: 64, stride: 195 },
  { batch: 1, sequence: 70, heads: 2, groups: 2, headDim: 7, stride: 15 },
  { batch: 1, sequence: 65, heads: 1, groups: 1, headDim: 130, stride: 130 },
];

function sizesOf({ batch, sequence, heads, groups, headDim, stride }: Shape) {
  const rows = batch * sequence;
  return {
    strided: rows * stride,
    out: rows * heads * headDim,
    normalizer: 2 * rows * heads,
    args: [batch, sequence, heads, groups, headDim, stride],
  };
}

function normal(name: string, length: number): Float32Array<ArrayBuffer> {
  return new Random(name).normal(length);
}

function named(names: readonly string[], length: number) {
  return Object.fromEntries(names.map((name) => [name, normal(name, length)]));
}

function labelOf({ sequence, heads, groups, headDim }: Shape): string {
  return `S=${sequence} ${heads}/${groups} heads of ${headDim}`;
}

function forwardCall(shape: Shape): StorageCall {
  const { strided, out, normalizer, args } = sizesOf(shape);
  return {
    label: labelOf(shape),
    symbol: "remoe_attention_forward",
    activations: { ...named(["q", "k", "v"], strided), out: normal("out", out) },
    others: { normalizer: new Float32Array(normalizer) },
    args: (dtype) => [dtype, "out", "normalizer", "q", "k", "v", ...args],
  };
}

/** The normalizer is that of other scores, of the same size. */
function gradientCall(shape: Shape): StorageCall {
  const { strided, out, normalizer, args } = sizesOf(shape);
  const inputs = ["dout", "out"], strides = ["dq", "dk", "dv", "q", "k", "v"];
  return {
    label: labelOf(shape),
    symbol: "remoe_attention_gradient",
    activations: { ...named(strides, strided), ...named(inputs, out) },
    others: { normalizer: Float32Array.from({ length: normalizer }, (_, i) => i % 2 ? 20 : 3) },
    args: (dtype) => [
      ...[dtype, "dq", "dk", "dv", "dout", "out", "normalizer", "q", "k", "v"],
      ...args,
    ],
  };
}

function decodeCall({ heads, groups, headDim, sequence }: Shape): StorageCall {
  const [batch, stride] = [3, (heads + 2 * groups) * headDim + 5];
  return {
    label: `${sequence} ${heads}/${groups} heads of ${headDim}`,
    symbol: "remoe_attention_extend",
    activations: {
      out: normal("out", batch * heads * headDim),
      qkv: normal("qkv", batch * stride),
      cache: normal("cache", batch * sequence * 2 * groups * headDim),
    },
    others: { lengths: Int32Array.of(sequence - 1, 0, 17) },
    args: (dtype) => [
      ...[dtype, "out", "qkv", "cache", "lengths", 0n, 0n],
      ...[batch, batch, batch, sequence, heads, groups, headDim, stride, 1e4],
    ],
  };
}

/**
 * Asserts that a result differs by the roundings of operands, of about 2⁻¹⁰ each: p and dO / l are
 * in dV; those, dP and dS in dQ and dK; and all are rounded.
 */
function assertNear(call: StorageCall, name: string, { bf16, fp32 }: { bf16: Bytes; fp32: Bytes }) {
  const actual = new Float32Array(widenedBits(new Uint16Array(bf16[name]!.buffer)).buffer);
  const expected = new Float32Array(fp32[name]!.buffer);
  const before = roundedBits(new Uint32Array(call.activations[name]!.buffer));
  const untouched = new Float32Array(widenedBits(before).buffer);
  let [error, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    if (expected[i] === untouched[i] && actual[i] === untouched[i]) continue;
    error += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  assertLess(Math.sqrt(error / size), 2 ** -7, name);
}

const CALLS: readonly StorageCall[] = [...SHAPES.map(forwardCall), ...SHAPES.map(gradientCall)];

for (const isa of ["avx512", "avx2", "baseline"]) {
  Deno.test(`bf16 attention is that of fp32, rounded once, in ${isa}`, async (t) => {
    using kernels = openWith(isa, 2);
    for (const call of CALLS) {
      await t.step(
        `${call.symbol} ${call.label}`,
        () => assertRounds(call, runInBoth(kernels, call)),
      );
    }
  });
}

Deno.test("bf16 attention rounds only the operands of its products", async (t) => {
  using one = openWith(BEST, 1);
  using two = openWith(BEST, 2);
  for (const call of CALLS) {
    await t.step(`${call.symbol} ${call.label}`, () => {
      const results = runInBoth(one, call);
      const outputs = call.symbol === "remoe_attention_forward" ? ["out"] : ["dq", "dk", "dv"];
      for (const name of outputs) assertNear(call, name, results);
      const normalizers = [results.bf16, results.fp32].map(({ normalizer }) =>
        new Float32Array(normalizer!.buffer)
      );
      normalizers[1]!.forEach((value, i) =>
        assertLess(Math.abs(normalizers[0]![i]! - value), 1e-5 * Math.abs(value) + 1e-6)
      );
      assertSameBits(runInBoth(two, call).bf16, results.bf16);
    });
  }
});

for (const isa of [BEST, "avx2", "baseline"]) {
  Deno.test(`bf16 decoding rounds what it rotates and its output in ${isa}`, async (t) => {
    using one = openWith(isa, 1);
    using two = openWith(isa, 2);
    for (const shape of SHAPES.filter(({ headDim }) => headDim % 2 === 0)) {
      const call = decodeCall(shape);
      await t.step(`${call.symbol} ${call.label}`, () => {
        const results = runInBoth(one, call);
        assertRounds(call, results, ["qkv", "cache", "lengths"]);
        assertNear(call, "out", results);
        assertSameBits(runInBoth(two, call).bf16, results.bf16);
      });
    }
  });
}
