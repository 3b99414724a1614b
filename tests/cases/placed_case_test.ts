import { assertEquals, assertThrows } from "@std/assert";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import { openKernels } from "../kernels/open_library.ts";
import { type KernelCase, operationCase, output } from "../../kernels/cases/case.ts";
import { PlacedCase, runCase } from "../../kernels/cases/placed_case.ts";
import { EXACT } from "../../kernels/cases/tolerance.ts";

/** A case whose "kernel" writes a byte somewhere from the host. */
function writing(at: "x" | "y", offset: number): KernelCase {
  return operationCase({
    name: `write to ${at}[${offset}]`,
    operation: "none",
    symbols: [],
    flops: 0,
    bytes: 1,
    inputs: () => ({ x: Float32Array.of(1, 2) }),
    outputs: { y: output([3], EXACT, "i32") },
    call(k: KernelContext, address) {
      k.writeBytes(address(at) + BigInt(offset), Uint8Array.of(0));
    },
    reference: () => ({ y: [0, 0, 0] }),
  });
}

const INPUTS = { x: Float32Array.of(1, 2) };

Deno.test("`runCase()` returns what was written, and poison where nothing was", () => {
  using kernels = openKernels();
  assertEquals(runCase(kernels, writing("y", 4), INPUTS), { y: Int32Array.of(-1, -256, -1) });
  assertEquals(kernels.statistics().blocks, 0);
});

Deno.test("`PlacedCase.read()` detects writes outside a buffer and to an input", () => {
  using kernels = openKernels();
  const throwing = [
    { kernelCase: writing("y", 12), message: 'wrote outside "y", 0 bytes past its end' },
    { kernelCase: writing("y", 50), message: 'wrote outside "y", 38 bytes past its end' },
    { kernelCase: writing("y", -4), message: 'wrote outside "y", 4 bytes before its start' },
    { kernelCase: writing("x", 8), message: 'wrote outside "x", 0 bytes past its end' },
    { kernelCase: writing("x", 7), message: 'wrote to its input "x", at element 1' },
  ];
  for (const { kernelCase, message } of throwing) {
    assertThrows(() => runCase(kernels, kernelCase, INPUTS), Error, message);
  }
  assertEquals(kernels.statistics().blocks, 0);
});

Deno.test("`PlacedCase` passes 0 for unwanted outputs and pre-fills the others as told", () => {
  using kernels = openKernels();
  const kernelCase = writing("x", 8);
  using bare = new PlacedCase(kernels, kernelCase, INPUTS, { unwanted: ["y"] });
  assertEquals(bare.address("y"), 0n);
  assertEquals(bare.read(), {});
  const prefill = { y: Int32Array.of(5, 6, 7) };
  using filled = new PlacedCase(kernels, kernelCase, INPUTS, { prefill });
  assertEquals(filled.address("y") % 64n, 0n);
  assertEquals(filled.read(), prefill);
  assertThrows(() => filled.address("z"), RangeError);
});
