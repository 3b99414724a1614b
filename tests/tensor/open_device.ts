import { Device, type DeviceOptions } from "../../mod.ts";
import { CPU_LIBRARY } from "../kernels/open_library.ts";

/**
 * Opens a device of the library under test: `REMOE_LIBRARY`, or the CPU build in this checkout.
 *
 * @param options Anything but the library; 2 threads by default.
 * @returns The device.
 */
export function openDevice(options: Omit<DeviceOptions, "library" | "kind"> = {}): Promise<Device> {
  return Device.open({ threads: 2, ...options, library: CPU_LIBRARY });
}
