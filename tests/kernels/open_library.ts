import { ensureKernels } from "../../kernels/tools/build.ts";
import { type ContextOptions, KernelContext, openLibrary } from "../../lib/ffi/mod.ts";

/**
 * The CPU kernel library under test: `REMOE_LIBRARY`, or this checkout's build. If that is missing
 * or stale, as it may be under `deno test` without the task, it is built here.
 */
export const CPU_LIBRARY: string = await ensureKernels();

/**
 * Opens a device, with its library, for one test.
 *
 * @param options Threads and device.
 * @param path The library; the CPU's by default.
 * @returns The device; closing it closes the library as well, as the resource sanitizer asks.
 */
export function openKernels(options: ContextOptions = {}, path = CPU_LIBRARY): KernelContext {
  return KernelContext.create(openLibrary(path), { ...options, ownsLibrary: true });
}
