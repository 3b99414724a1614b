import { DTypeCode } from "../../lib/ffi/mod.ts";
import { assert, assertEquals } from "@std/assert";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import { Random } from "../../kernels/cases/random.ts";
import { openKernels } from "./open_library.ts";

const SEQUENCE = 70;
/** Its square root is exact, so scaling does not round. */
const HEAD_DIM = 16;

/** Runs one-head attention over rows [q | k | v]; returns its output and the gradient of qkv. */
function attend(
  kernels: KernelContext,
  qkv: Float32Array<ArrayBuffer>,
  dout: Float32Array<ArrayBuffer>,
  headDim = HEAD_DIM,
) {
  const place = (floats: Float32Array<ArrayBuffer>): bigint => {
    const address = kernels.allocate(floats.byteLength);
    kernels.writeBytes(address, new Uint8Array(floats.buffer));
    return address;
  };
  const read = (address: bigint, count: number): Float32Array => {
    const floats = new Float32Array(count);
    kernels.readBytes(address, new Uint8Array(floats.buffer));
    return floats;
  };
  const columns = (address: bigint) => [0n, 1n, 2n].map((i) => address + i * BigInt(4 * headDim));
  const [source, upstream] = [place(qkv), place(dout)];
  const [out, normalizer] = [
    place(new Float32Array(dout.length)),
    place(new Float32Array(2 * SEQUENCE)),
  ];
  const gradient = place(new Float32Array(qkv.length));
  const [q, k, v] = columns(source) as [bigint, bigint, bigint];
  const [dq, dk, dv] = columns(gradient) as [bigint, bigint, bigint];
  const { symbols, handle } = kernels;
  const sizes = [1, SEQUENCE, 1, 1, headDim, 3 * headDim] as const;
  kernels.check(
    symbols.remoe_attention_forward(handle, DTypeCode.f32, out, normalizer, q, k, v, ...sizes),
    "forward",
  );
  const status = symbols.remoe_attention_gradient(
    handle,
    DTypeCode.f32,
    dq,
    dk,
    dv,
    upstream,
    out,
    normalizer,
    q,
    k,
    v,
    ...sizes,
  );
  kernels.check(status, "gradient");
  const result = { out: read(out, dout.length), gradient: read(gradient, qkv.length) };
  kernels.free([source, upstream, out, normalizer, gradient]);
  return result;
}

/** Queries and keys of small integers, so scores are exact; `offset` is added to each. */
function exactRows(offset: number): Float32Array<ArrayBuffer> {
  const random = new Random("exact rows");
  return Float32Array.from({ length: SEQUENCE * 3 * HEAD_DIM }, (_, i) => {
    const column = i % (3 * HEAD_DIM);
    const value = column < 2 * HEAD_DIM ? random.integer(5) - 2 : random.next() - 0.5;
    if (column === 0) return 4 * offset;
    return column === HEAD_DIM ? 1 : value;
  });
}

Deno.test("attention and its gradient do not change when all scores grow", () => {
  using kernels = openKernels({ threads: 1 });
  const dout = new Random("dout").normal(SEQUENCE * HEAD_DIM);
  const expected = attend(kernels, exactRows(0), dout);
  // The gradients of q and k belong to the offset, too, in their first columns.
  const comparable = (gradient: Float32Array) =>
    gradient.filter((_, i) => i % (3 * HEAD_DIM) !== 0 && i % (3 * HEAD_DIM) !== HEAD_DIM);
  for (const offset of [1e3, 1e5, 1e6]) {
    const { out, gradient } = attend(kernels, exactRows(offset), dout);
    assertEquals(out, expected.out, `output, scores of ${offset}`);
    assertEquals(comparable(gradient), comparable(expected.gradient), `scores of ${offset}`);
  }
});

Deno.test("attention of equal scores is a mean, however large they are", () => {
  using kernels = openKernels({ threads: 1 });
  const headDim = 12; // its square root is not exact
  const qkv = Float32Array.from({ length: SEQUENCE * 3 * headDim }, (_, i) => {
    const column = i % (3 * headDim);
    if (column >= 2 * headDim) return 1;
    return column === 0 ? 3e35 : column === headDim ? 1 : 0;
  });
  const dout = new Float32Array(SEQUENCE * headDim).fill(1);
  const { out, gradient } = attend(kernels, qkv, dout, headDim);
  assert(out.every((x) => Math.abs(x - 1) < 1e-6), String(out.slice(0, 4)));
  assert(gradient.every(Number.isFinite));
});

Deno.test("attention propagates every NaN bit pattern", () => {
  using kernels = openKernels({ threads: 1 });
  for (const bits of [0x7fc00000, 0xffffffff, 0x7fc07fc0, 0x7fff7fff]) {
    const qkv = exactRows(0);
    new Uint32Array(qkv.buffer)[1] = bits; // the first query
    const { out } = attend(kernels, qkv, new Float32Array(SEQUENCE * HEAD_DIM));
    assert(out.subarray(0, HEAD_DIM).every(Number.isNaN), bits.toString(16));
    assert(!out.subarray(HEAD_DIM).some(Number.isNaN));
  }
});
