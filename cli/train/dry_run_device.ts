/**
 * The device that a dry run asks about memory.
 *
 * @module
 */

import { Device } from "../../lib/autograd/device.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { libraryPaths } from "../../lib/ffi/find_library.ts";
import { isGranted } from "../../lib/permissions.ts";

/**
 * Opens the device that a run would train on, where a library is here and may be opened: a dry run
 * neither builds, downloads nor asks for a permission.
 *
 * @param config The whole configuration.
 * @returns The device, for the caller to dispose of; null where there is none.
 */
export async function deviceAtHand({ device, threads }: TrainConfig): Promise<Device | null> {
  const paths = libraryPaths(device);
  const mayLook = paths.every((path) =>
    isGranted({ name: "read", path }) && isGranted({ name: "ffi", path })
  );
  if (!mayLook || !(await Promise.all(paths.map(isThere))).includes(true)) return null;
  try {
    return await Device.open({ kind: device, threads });
  } catch {
    // Why it cannot be opened is told where a run needs it.
    return null;
  }
}

function isThere(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => true, () => false);
}
