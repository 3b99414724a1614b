/** Small kernels of one block whose counts are known. */

import type { Mutant } from "../../kernels/tools/build_cuda.ts";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import { Buffers } from "./buffers.ts";

/** Floats of the global array. */
const LENGTH = 32 * 256;

/**
 * A library in which `remoe_relu_router_gradient` runs one of the given kernels.
 *
 * @param bodies Device code. It sees `i`, the thread; `g`, 8192 floats of global memory; `s`, as many
 * of shared memory; `sum`, whose value is kept.
 * @returns The sources; the call's `balance` selects the body, `experts` the number of threads.
 */
export function countingLibrary(bodies: readonly string[]): Mutant {
  const kernels = bodies.map((body, n) =>
    `__global__ void probe_${n}(float* g) {
  [[maybe_unused]] float* s = &gpu::shared<float>();
  [[maybe_unused]] const int i = static_cast<int>(threadIdx.x);
  float sum = 0;
${body}
  if (sum == 12345) g[0] = sum;
}`
  );
  const cases = bodies.map((_, n) =>
    `case ${n}: return op.launch(probe_${n}, dim3(1), dim3(threads), ${4 * LENGTH}, g);`
  );
  const source = `#include "device/hopper.h"
#include "device/ldmatrix.h"
#include "device/mma.h"
#include "runtime/operation.h"
namespace remoe {
using namespace hopper;
namespace {
${kernels.join("\n")}
}
}
int32_t remoe_relu_router_gradient(uint64_t context, uint64_t target, uint64_t, uint64_t, uint64_t,
                                   uint64_t, uint64_t, int32_t number, int32_t, double, double,
                                   double, int32_t, int32_t threads) {
  using namespace remoe;
  return guard(context, "probe", [&](Operation& op) {
    auto* g = reinterpret_cast<float*>(target);
    switch (number) {
      ${cases.join("\n      ")}
    }
  });
}
`;
  // In place of a source with kernels: others are not counted.
  return { name: "counting_probes", files: { "runtime/probes.cu": source } };
}

/** Runs a probe on zeros. */
export function runCountingProbe(k: KernelContext, number: number, threads: number): void {
  using memory = new Buffers(k);
  const g = memory.from(new Float32Array(LENGTH));
  const f = k.symbols.remoe_relu_router_gradient;
  k.check(f(k.handle, g, 0n, 0n, 0n, 0n, 0n, number, 0, 0, 0, 0, 1, threads), "probe");
  k.check(k.symbols.remoe_synchronize(k.handle), "synchronize");
}
