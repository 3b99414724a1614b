import { assertEquals } from "@std/assert";
import { isBeyond } from "../../kernels/cases/check.ts";
import { assertNamesIndex, WRONG_INDICES } from "../../kernels/cases/wrong_indices.ts";
import { openKernels } from "./open_library.ts";

for (const wrong of WRONG_INDICES) {
  const { kernelCase, indices, position, outside } = wrong;
  Deno.test(`\`remoe_${kernelCase.operation}()\` names the position of an index outside`, async (t) => {
    using kernels = openKernels();
    const isMissing = isBeyond(kernels, kernelCase);
    for (const index of outside) {
      await t.step({
        name: `${indices}[${position}] = ${index}`,
        ignore: isMissing,
        fn: () => assertNamesIndex(kernels, wrong, index),
      });
    }
    assertEquals(kernels.statistics().blocks, 0);
  });
}
