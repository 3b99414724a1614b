/** Kernels of one block for testing the emulator's Hopper instructions. */

import type { Mutant } from "../../kernels/tools/build_cuda.ts";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import { Buffers } from "./buffers.ts";

/** Rows and columns of the matrices. */
export const SIDE = 64;
/** A warpgroup. */
const THREADS = 128;

/**
 * A library in which `remoe_relu_router_gradient` runs one of the given kernels.
 *
 * @param bodies Device code. It sees `i`, the thread; `x` and `y`, bf16 matrices of 64 x 64 with the
 * maps `mx` and `my`; `out`, an fp32 matrix of 64 x 64 with the map `mo` in boxes of 32 columns;
 * shared memory `s.a`, `s.b` (64 x 64 bf16), `s.c` (two of 64 x 32 fp32), and `s.full` and `s.other`,
 * barriers.
 * `load` fills `s.a` and `s.b`, `multiply` computes their product.
 * @returns The sources; the call's `balance` selects the body.
 */
export function hopperLibrary(bodies: readonly string[]): Mutant {
  const kernels = bodies.map((body, n) =>
    `__global__ void probe_${n}(const __grid_constant__ Maps maps,
    [[maybe_unused]] const Bf16* x, [[maybe_unused]] const Bf16* y, [[maybe_unused]] float* out) {
  [[maybe_unused]] Shared& s = gpu::shared<Shared>();
  [[maybe_unused]] const int i = static_cast<int>(threadIdx.x);
  [[maybe_unused]] const auto& [mx, my, mo] = maps;
#line 1 "probe_${n}"
${body}
}`
  );
  const cases = bodies.map((_, n) =>
    `case ${n}: return op.launch(probe_${n}, dim3(1), dim3(${THREADS}), sizeof(Shared), maps, x, y,
      out);`
  );
  const source = `#include "device/hopper.h"
#include "runtime/operation.h"
#include "runtime/tensor_maps.h"
namespace remoe {
using namespace hopper;
namespace {
struct Maps { TensorMap x, y, out; };
struct Shared { Bf16 a[4096]; Bf16 b[4096]; float c[4096]; Barrier full; Barrier other; };
__device__ void start_barrier(Shared& s, int count) {
  if (threadIdx.x == 0) {
    barrier_init(&s.full, count);
    barrier_init(&s.other, count);
    barrier_init_fence();
  }
  __syncthreads();
}
[[maybe_unused]] __device__ void load(Shared& s, const TensorMap& mx, const TensorMap& my) {
  start_barrier(s, 1);
  if (threadIdx.x == 0) {
    arrive_expect(&s.full, 16384);
    copy_box(s.a, mx, 0, 0, 0, &s.full);
    copy_box(s.b, my, 0, 0, 0, &s.full);
  }
}
template <int kTransposedA, int kTransposedB>
[[maybe_unused]] __device__ void multiply(Shared& s, float (&d)[32]) {
  wgmma_fence();
  for (int k = 0; k < 64; k += 16) {
    const uint64_t a = kTransposedA ? descriptor(s.a + k * 64, 8192, 1024)
                                    : descriptor(s.a + k, 16, 1024);
    const uint64_t b = kTransposedB ? descriptor(s.b + k * 64, 8192, 1024)
                                    : descriptor(s.b + k, 16, 1024);
    wgmma<kTransposedA, kTransposedB>(d, a, b, k > 0);
  }
  wgmma_commit();
}
[[maybe_unused]] __device__ void store(float* out, const float (&d)[32]) {
  const int i = static_cast<int>(threadIdx.x);
  for (int n = 0; n < 32; n++) {
    const int row = i / 32 * 16 + i % 32 / 4 + n / 2 % 2 * 8;
    out[row * 64 + n / 4 * 8 + i % 4 * 2 + n % 2] = d[n];
  }
}
// Where an fp32 box of 32 columns has element (row, column) of s.c.
[[maybe_unused]] __device__ float* place(Shared& s, int row, int column) {
  const int chunk = (column % 32 / 4) ^ (row & 7);
  return s.c + column / 32 * 2048 + row * 32 + chunk * 4 + column % 4;
}
${kernels.join("\n")}
}
}
int32_t remoe_relu_router_gradient(uint64_t context, uint64_t target, uint64_t left, uint64_t right,
                                   uint64_t, uint64_t, uint64_t, int32_t number, int32_t, double,
                                   double, double, int32_t, int32_t) {
  using namespace remoe;
  return guard(context, "probe", [&](Operation& op) {
    auto* x = reinterpret_cast<const Bf16*>(left);
    auto* y = reinterpret_cast<const Bf16*>(right);
    auto* out = reinterpret_cast<float*>(target);
    const TensorLayout matrix = {REMOE_BF16, {60, 64, 1}, {128, 8192}, {64, 64, 1}};
    const TensorLayout result = {REMOE_F32, {64, 64, 1}, {256, 16384}, {32, 64, 1}};
    const Maps maps = {encode_tensor_map(x, matrix), encode_tensor_map(y, matrix),
                       encode_tensor_map(out, result)};
    switch (number) {
      ${cases.join("\n      ")}
    }
  });
}
`;
  return { name: "hopper_probes", files: { "moe/relu_router_gradient.cu": source } };
}

/** The matrices that the probes are given: the maps see 60 of their 64 columns. */
export const X: Float32Array<ArrayBuffer> = Float32Array.from(
  { length: SIDE * SIDE },
  (_, n) => (n * 7) % 11 - 5,
);
/** See {@linkcode X}. */
export const Y: Float32Array<ArrayBuffer> = Float32Array.from(
  { length: SIDE * SIDE },
  (_, n) => (n * 5) % 13 - 6,
);

/** Two bf16 in each word, of small integers, which bf16 has exactly. */
function asBf16(values: Float32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer);
  return Int32Array.from(
    { length: values.length / 2 },
    (_, n) => bits[2 * n]! >>> 16 | bits[2 * n + 1]! & 0xffff0000,
  );
}

/** Runs a probe on a result of ones and returns it. */
export function runHopperProbe(k: KernelContext, number: number): Float32Array<ArrayBuffer> {
  using memory = new Buffers(k);
  const out = memory.from(new Float32Array(SIDE * SIDE).fill(1));
  const [x, y] = [memory.from(asBf16(X)), memory.from(asBf16(Y))];
  const f = k.symbols.remoe_relu_router_gradient;
  k.check(f(k.handle, out, x, y, 0n, 0n, 0n, number, 0, 0, 0, 0, 1, 1), "probe");
  return memory.read(out, new Float32Array(SIDE * SIDE));
}
