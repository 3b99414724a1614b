import { ensureKernels } from "../../kernels/tools/build.ts";
import { type ContextOptions, KernelContext, openLibrary } from "../../lib/ffi/mod.ts";

/**
 * The CPU kernel library under test: `REMOE_LIBRARY`, or the build in this checkout, which `deno test`
 * without a task finds missing or stale, and makes.
 */
export const CPU_LIBRARY: string = await ensureKernels();

/**
 * Opens a device for one test, library included.
 *
 * @param options Threads, and which device.
 * @param path The library; the CPU's by default.
 * @returns The device; closing it closes the library as well, as the resource sanitizer asks.
 */
export function openKernels(options: ContextOptions = {}, path = CPU_LIBRARY): KernelContext {
  return KernelContext.create(openLibrary(path), { ...options, ownsLibrary: true });
}
