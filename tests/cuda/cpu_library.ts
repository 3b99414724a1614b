/** The CPU build, to compare with. */

import { fileURLToPath } from "node:url";
import { KernelContext, openLibrary } from "../../lib/ffi/mod.ts";

const PATH = fileURLToPath(new URL("../../kernels/build/libremoe_cpu.so", import.meta.url));

/** Whether it was built. */
export const hasCpuLibrary: boolean = await Deno.stat(PATH).then(() => true, () => false);

/** What the name of a test says where it is ignored for want of it. */
export const skippedCpu = hasCpuLibrary ? "" : " [skipped: the CPU kernels are not built]";

/** Opens it; closing the context closes the library. */
export function openCpu(): KernelContext {
  return KernelContext.create(openLibrary(PATH), { ownsLibrary: true, threads: 2 });
}
