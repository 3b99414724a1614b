/**
 * The facts of a machine that the last bits of a run's numbers depend on.
 *
 * @module
 */

import type { Device } from "../autograd/device.ts";

/** Facts about a device, by name. */
export type RunMachine = Readonly<Record<string, string>>;

/** Collects the facts that checkpoints store. */
export function machineOf(device: Device): RunMachine {
  const { name, isa, threads, gemm } = device.info();
  return { device: name, isa, threads: String(threads), products: gemm };
}

/**
 * Tells what changed between the machine a run was on and the one it resumes on: sums may be taken
 * in another order.
 *
 * @param before The facts in the checkpoint; undefined for an early version, or without a
 * checkpoint.
 * @param now The facts of the current device.
 * @returns One sentence, or none if nothing changed.
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
    `will not match an uninterrupted run bit for bit`,
  ];
}
