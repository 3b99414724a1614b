import { assertEquals } from "@std/assert";
import { assertMatchesReference, byOperation, isBeyond } from "../../kernels/cases/check.ts";
import { KERNEL_CASES, OPERATION_CASES } from "../../kernels/cases/mod.ts";
import { openKernels } from "./open_library.ts";

Deno.test("the CPU library has every function of the contract and runs every case", () => {
  using kernels = openKernels();
  assertEquals(kernels.library.missing, []);
  const declined = KERNEL_CASES.filter((kernelCase) => isBeyond(kernels, kernelCase));
  assertEquals(declined.map(({ name }) => name), []);
});

for (const [operation, cases] of byOperation(OPERATION_CASES)) {
  Deno.test(`\`remoe_${operation}()\` agrees with its float64 reference`, async (t) => {
    using kernels = openKernels();
    for (const operationCase of cases) {
      await t.step({
        name: operationCase.name,
        ignore: isBeyond(kernels, operationCase),
        fn: () => assertMatchesReference(kernels, operationCase),
      });
    }
    assertEquals(kernels.statistics().blocks, 0);
  });
}
