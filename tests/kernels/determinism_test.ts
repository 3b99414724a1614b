import { assertRepeats, byOperation, isBeyond } from "../../kernels/cases/check.ts";
import { KERNEL_CASES } from "../../kernels/cases/mod.ts";
import { openKernels } from "./open_library.ts";

for (const [operation, cases] of byOperation(KERNEL_CASES)) {
  Deno.test(`\`remoe_${operation}()\` gives the same bits again`, async (t) => {
    for (const threads of [1, 2]) {
      using kernels = openKernels({ threads });
      for (const kernelCase of cases) {
        await t.step({
          name: `${kernelCase.name}, ${threads} threads`,
          ignore: isBeyond(kernels, kernelCase),
          fn: () => assertRepeats(kernels, kernelCase),
        });
      }
    }
  });
}
