/**
 * What a run is computed on, as far as the last bits of its numbers depend on it.
 *
 * @module
 */

import type { Device } from "../autograd/device.ts";

/** Facts of a device by name. */
export type RunMachine = Readonly<Record<string, string>>;

/** The facts that checkpoints keep. */
export function machineOf(device: Device): RunMachine {
  const { name, isa, threads, gemm } = device.info();
  return { device: name, isa, threads: String(threads), products: gemm };
}

/**
 * Says what differs between where a run was and where it goes on: sums are taken in another order.
 *
 * @param before The facts in the checkpoint; undefined: it is of an early version, or none.
 * @param now The facts of the device at hand.
 * @returns A sentence; none where nothing differs.
 */
export function machineNotices(before: RunMachine | undefined, now: RunMachine): string[] {
  const changes = Object.entries(before ?? {})
    .filter(([name, value]) => now[name] !== undefined && now[name] !== value)
    .map(([name, value]) => `${name} ${value} became ${now[name]}`);
  if (changes.length === 0) return [];
  return [
    `The run was computed otherwise before: ${
      changes.join(", ")
    }; sums round in another order, so it ` +
    `will not be the straight run bit for bit`,
  ];
}
