/** Small kernels for testing the emulator. */

import type { Mutant } from "../../kernels/tools/build_cuda.ts";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import { Buffers } from "./buffers.ts";

/** Blocks and threads of every probe. */
export const BLOCKS = 2;
/** Two warps. */
export const THREADS = 64;

/**
 * A library in which `remoe_relu_router_gradient` runs one of the given kernels.
 *
 * @param bodies Device code. It sees `i`, the thread; `b`, the block; `s`, 64 shared ints; `out`,
 * one zero-initialized int in device memory per thread of each block; `wild`, an address from the
 * host.
 * @returns The sources; the call's `balance` selects the body.
 */
export function probeLibrary(bodies: readonly string[]): Mutant {
  const kernels = bodies.map((body, n) =>
    `__global__ void probe_${n}([[maybe_unused]] int* out, [[maybe_unused]] const int* wild) {
  [[maybe_unused]] int* s = &gpu::shared<int>();
  [[maybe_unused]] const int i = static_cast<int>(threadIdx.x);
  [[maybe_unused]] const int b = static_cast<int>(blockIdx.x);
#line 1 "probe_${n}"
${body}
}`
  );
  const cases = bodies.map((_, n) =>
    `case ${n}: return op.launch(probe_${n}, dim3(${BLOCKS}), dim3(${THREADS}), 256, out, wild);`
  );
  const source = `#include "runtime/operation.h"
namespace {
${kernels.join("\n")}
}
int32_t remoe_relu_router_gradient(uint64_t context, uint64_t target, uint64_t address, uint64_t,
                                   uint64_t, uint64_t, uint64_t, int32_t number, int32_t, double,
                                   double, double, int32_t, int32_t) {
  return remoe::guard(context, "probe", [&](remoe::Operation& op) {
    auto* out = reinterpret_cast<int*>(target);
    auto* wild = reinterpret_cast<const int*>(address);
    switch (number) {
      ${cases.join("\n      ")}
    }
  });
}
`;
  return { name: "probes", files: { "moe/relu_router_gradient.cu": source } };
}

/**
 * Runs a probe.
 *
 * @param k The context of a {@linkcode probeLibrary}.
 * @param number Index of the body.
 * @param wild An address for it, if it uses one.
 * @returns The contents of `out` after synchronizing with the device.
 */
export function runProbe(
  k: KernelContext,
  number: number,
  wild: bigint = 0n,
): Int32Array<ArrayBuffer> {
  using memory = new Buffers(k);
  const out = memory.from(new Int32Array(BLOCKS * THREADS));
  const f = k.symbols.remoe_relu_router_gradient;
  k.check(f(k.handle, out, wild, 0n, 0n, 0n, 0n, number, 0, 0, 0, 0, 1, 1), "probe");
  return memory.read(out, new Int32Array(BLOCKS * THREADS));
}
