/**
 * Opens a command's device.
 *
 * @module
 */

import { Device } from "../../lib/autograd/device.ts";
import type { DeviceOptions } from "../../lib/autograd/device_options.ts";
import { isGranted } from "../../lib/permissions.ts";
import { yieldWhenWaiting } from "./openmp.ts";

/**
 * Opens a device. Where needed and permitted, builds the CPU kernels first, which takes a checkout.
 *
 * @param kind Which kind.
 * @param options Threads and seed.
 * @returns The device; dispose of it.
 */
export async function openDevice(
  kind: "auto" | "cpu" | "cuda",
  { threads = 0, seed = 0 }: Pick<DeviceOptions, "threads" | "seed"> = {},
): Promise<Device> {
  // Building runs compilers: without permission to, the kernels are taken as they are.
  if (kind !== "cuda" && isGranted({ name: "run" })) {
    const { ensureKernels } = await import("../../kernels/tools/build.ts");
    await ensureKernels();
  }
  yieldWhenWaiting();
  return await Device.open({ kind, threads, seed });
}
