import { buildEmulated } from "../../kernels/tools/build_cuda.ts";
import { assertAgrees, byOperation, isBeyond } from "../../kernels/cases/check.ts";
import { KERNEL_CASES } from "../../kernels/cases/mod.ts";
import { openKernels } from "./open_library.ts";

/** The sources of `kernels/cuda` on the CPU emulator; absent without a compiler. */
const emulated = await buildEmulated();
const note = emulated.kind === "skipped" ? ` (${emulated.reason})` : "";

for (const [operation, cases] of byOperation(KERNEL_CASES)) {
  Deno.test({
    name: `\`remoe_${operation}()\` of the CUDA sources agrees with the CPU's${note}`,
    ignore: emulated.kind === "skipped",
    fn: async (t) => {
      if (emulated.kind === "skipped") return;
      using cpu = openKernels();
      using cuda = openKernels({}, emulated.path);
      for (const kernelCase of cases) {
        await t.step({
          name: kernelCase.name,
          ignore: isBeyond(cpu, kernelCase) || isBeyond(cuda, kernelCase),
          fn: () => assertAgrees(cpu, [cuda], kernelCase),
        });
      }
    },
  });
}
