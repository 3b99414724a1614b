import { assertEquals } from "@std/assert";
import {
  assertAccumulates,
  assertMatchesDifferences,
  assertOutputsAreOptional,
  byOperation,
  isBeyond,
} from "../../kernels/cases/check.ts";
import { GRADIENT_CASES } from "../../kernels/cases/mod.ts";
import { openKernels } from "./open_library.ts";

for (const [operation, cases] of byOperation(GRADIENT_CASES)) {
  Deno.test(`\`remoe_${operation}()\` is the derivative of its float64 forward pass`, async (t) => {
    using kernels = openKernels();
    for (const gradientCase of cases) {
      await t.step({
        name: gradientCase.name,
        ignore: isBeyond(kernels, gradientCase),
        fn: () => {
          assertMatchesDifferences(kernels, gradientCase);
          assertAccumulates(kernels, gradientCase);
          assertOutputsAreOptional(kernels, gradientCase);
        },
      });
    }
    assertEquals(kernels.statistics().blocks, 0);
  });
}
