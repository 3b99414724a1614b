import { assertEquals } from "@std/assert";
import { DTypeCode, UnaryCode } from "../../lib/ffi/mod.ts";
import { firstDifference, roundedBits, widenedBits } from "./bf16_bits.ts";
import {
  assertRounds,
  assertSameBits,
  type BareCall,
  BEST,
  openWith,
  run,
  runInBoth,
} from "./run_in_bf16.ts";
import { STORAGE_CALLS } from "./storage_calls.ts";

const ISAS = [BEST, "avx2", "baseline"];

for (const isa of ISAS) {
  Deno.test(`bf16 is only a storage format in ${isa}`, async (t) => {
    using one = openWith(isa, 1);
    using two = openWith(isa, 2);
    for (const call of STORAGE_CALLS) {
      await t.step(`${call.symbol} ${call.label}`, () => {
        const [byOne, byTwo] = [one, two].map((kernels) => runInBoth(kernels, call));
        assertRounds(call, byOne!);
        assertSameBits(byTwo!.bf16, byOne!.bf16);
      });
    }
  });
}

/** Every bf16 number, and from it to the next, the fp32 numbers around those that round down. */
function roundingCases(): Uint32Array<ArrayBuffer> {
  const lowerHalves = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
  return Uint32Array.from(
    { length: lowerHalves.length << 16 },
    (_, i) => (i & 0xffff) << 16 | lowerHalves[i >> 16]!,
  );
}

for (const isa of ISAS) {
  Deno.test(`every bf16 number is converted exactly in ${isa}`, () => {
    using kernels = openWith(isa, 2);
    const { f32, bf16 } = DTypeCode;
    const all = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);
    const fp32 = roundingCases();
    const cast = (to: number, from: number, count: number): BareCall => ({
      symbol: "remoe_cast",
      args: () => [to, "target", from, "source", BigInt(count)],
    });
    const wide = run(kernels, cast(f32, bf16, all.length), bf16, {
      source: all,
      target: new Uint32Array(all.length),
    });
    const words = new Uint32Array(wide.target!.buffer);
    assertEquals(firstDifference(words, widenedBits(all)), undefined);

    const narrow = run(kernels, cast(bf16, f32, fp32.length), bf16, {
      source: fp32,
      target: new Uint16Array(fp32.length),
    });
    const halves = new Uint16Array(narrow.target!.buffer);
    assertEquals(firstDifference(halves, roundedBits(fp32)), undefined);

    // The vectors of other kernels: x * 1 keeps every number, and makes NaN quiet.
    const scaled = run(kernels, SCALE_BY_ONE, bf16, {
      x: all,
      target: new Uint16Array(all.length),
    });
    const same = new Uint16Array(scaled.target!.buffer);
    assertEquals(firstDifference(same, roundedBits(widenedBits(all))), undefined);

    // They round as casts do: 0 + 1 * x, with x in fp32.
    const added = run(kernels, ADD_FP32, bf16, { x: fp32, target: new Uint16Array(fp32.length) });
    const sums = new Uint16Array(added.target!.buffer);
    const isZero = (half: number) => (half & 0x7fff) === 0;
    for (let i = 0; i < halves.length; i++) if (isZero(halves[i]!)) halves[i] = 0;
    assertEquals(firstDifference(sums.map((half) => isZero(half) ? 0 : half), halves), undefined);
  });
}

const SCALE_BY_ONE: BareCall = {
  symbol: "remoe_unary",
  args: (dtype) => [UnaryCode.scale, dtype, "target", "x", 1, 1n << 16n],
};
const ADD_FP32: BareCall = {
  symbol: "remoe_accumulate",
  args: (dtype) => [dtype, "target", DTypeCode.f32, "x", 1, BigInt(6 << 16)],
};
