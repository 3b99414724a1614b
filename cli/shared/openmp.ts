/**
 * Sets how the kernels' threads wait for each other.
 *
 * @module
 */

import { isGranted, readEnvironment } from "../../lib/permissions.ts";

/**
 * Rounds that a waiting thread spins before it sleeps. Threads of one step meet within
 * microseconds, so this many rounds nearly always suffice. GNU OpenMP's default of some
 * milliseconds is no faster on idle cores, and on a busy machine it burns the very core that the
 * late thread waits for: beside one other process, steps took seven to ten times as long.
 */
const SPIN_ROUNDS = "30000";

/** Variables by which users choose for themselves; if any is set, nothing is changed. */
const OWN_SETTINGS = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

/**
 * Makes waiting threads yield their core soon. Call it before the kernel library is loaded. Without
 * permission to change the environment, GNU OpenMP's default stays, which is slower only on a busy
 * machine.
 */
export function yieldWhenWaiting(): void {
  if (!OWN_SETTINGS.every((variable) => isGranted({ name: "env", variable }))) return;
  if (OWN_SETTINGS.some((name) => readEnvironment(name) !== undefined)) return;
  Deno.env.set("GOMP_SPINCOUNT", SPIN_ROUNDS);
}
