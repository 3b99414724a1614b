import { assertAgrees, byOperation, isBeyond } from "../../kernels/cases/check.ts";
import { KERNEL_CASES } from "../../kernels/cases/mod.ts";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import { openKernels } from "./open_library.ts";

/** Opens a device that uses an instruction set, or the best one below that the machine has. */
function openWith(isa: string): KernelContext {
  const before = Deno.env.get("REMOE_ISA");
  Deno.env.set("REMOE_ISA", isa);
  try {
    return openKernels();
  } finally {
    if (before === undefined) Deno.env.delete("REMOE_ISA");
    else Deno.env.set("REMOE_ISA", before);
  }
}

for (const [operation, cases] of byOperation(KERNEL_CASES)) {
  Deno.test(`\`remoe_${operation}()\` agrees in every instruction set`, async (t) => {
    using best = openKernels();
    using avx2 = openWith("avx2");
    using baseline = openWith("baseline");
    // Older machines, and other architectures, have fewer sets.
    const isas = new Map([avx2, baseline].map((each) => [each.info().isa, each]));
    isas.delete(best.info().isa);
    for (const kernelCase of cases) {
      await t.step({
        name: `${kernelCase.name} in ${[best.info().isa, ...isas.keys()].join(", ")}`,
        ignore: isas.size === 0 || isBeyond(best, kernelCase),
        fn: () => assertAgrees(best, [...isas.values()], kernelCase),
      });
    }
  });
}
