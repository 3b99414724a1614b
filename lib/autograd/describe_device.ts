/** How a device is displayed. @module */

import type { DeviceMemory } from "../tensor/device_memory.ts";
import { type Description, table } from "../tensor/display.ts";

/** Bytes of a MiB. */
const MEBIBYTE = 2 ** 20;

/**
 * Describes a device by backend, instruction set, threads and seed; the content adds the processor,
 * the memory in use and the library.
 */
export function describeDevice(memory: DeviceMemory): Description {
  const { kernels, seed, backend } = memory;
  if (memory.closed) {
    return { kind: "Device", label: `${backend}, closed`, facts: { device: null } };
  }
  const { name, isa: instructionSet, threads } = kernels.info();
  return {
    kind: "Device",
    facts: { instructionSet, threads, seed: Number(seed) },
    place: { memory, live: true },
    content() {
      const { inUse, peak } = kernels.statistics();
      const mebibytes = (bytes: number) => `${(bytes / MEBIBYTE).toFixed(1)} MiB`;
      return table(["", ""], [
        ["processor", name],
        ["memory", `${mebibytes(inUse)} in use, ${mebibytes(peak)} at most`],
        ["library", kernels.library.path],
      ]);
    },
  };
}
