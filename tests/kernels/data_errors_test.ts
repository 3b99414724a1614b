import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { Status } from "../../lib/ffi/mod.ts";
import { inputsOf, type KernelCase } from "../../kernels/cases/case.ts";
import { isBeyond } from "../../kernels/cases/check.ts";
import { crossEntropyCase, crossEntropyGradientCase } from "../../kernels/cases/cross_entropy.ts";
import { embeddingCase, embeddingGradientCase } from "../../kernels/cases/embedding.ts";
import { runCase } from "../../kernels/cases/placed_case.ts";
import { openKernels } from "./open_library.ts";

const VOCABULARY = 11;
const LOOKUP = { count: 9, hidden: 4, vocabulary: VOCABULARY };
const HEAD = { tokens: 9, hidden: 4, vocabulary: VOCABULARY };

/** The index parameters of each function, with values out of range. */
const CASES: readonly { kernelCase: KernelCase; indices: string; outside: readonly number[] }[] = [
  { kernelCase: embeddingCase(LOOKUP), indices: "tokens", outside: [-1, VOCABULARY, 2 ** 30] },
  {
    kernelCase: embeddingGradientCase(LOOKUP),
    indices: "tokens",
    outside: [-1, VOCABULARY, -(2 ** 31)],
  },
  // A negative target is ignored, not out of range.
  { kernelCase: crossEntropyCase(HEAD), indices: "targets", outside: [VOCABULARY, 2 ** 31 - 1] },
  { kernelCase: crossEntropyGradientCase(HEAD), indices: "targets", outside: [VOCABULARY] },
];

for (const { kernelCase, indices, outside } of CASES) {
  const operation = kernelCase.operation;
  Deno.test(`\`remoe_${operation}()\` names the position of an index outside`, async (t) => {
    using kernels = openKernels();
    const isMissing = isBeyond(kernels, kernelCase);
    for (const index of outside) {
      await t.step({
        name: `${indices}[6] = ${index}`,
        ignore: isMissing,
        fn: () => {
          const inputs = inputsOf(kernelCase);
          (inputs[indices] as Int32Array)[6] = index;
          const error = assertThrows(() => runCase(kernels, kernelCase, inputs), DeviceError);
          assertEquals(error.status, Status.outOfRange);
          assertMatch(error.message, new RegExp(`${operation}: .*${index}.*\\b6\\b`));
        },
      });
    }
    assertEquals(kernels.statistics().blocks, 0);
  });
}
