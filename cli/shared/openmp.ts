/**
 * How the kernels' threads wait for each other.
 *
 * @module
 */

import { isGranted, readEnvironment } from "../../lib/permissions.ts";

/**
 * Rounds that a waiting thread spins before it sleeps. Threads of one step meet within microseconds,
 * so that this many rounds catch nearly all of them; GNU OpenMP's own default of some milliseconds is
 * no faster on idle cores, and on a busy machine it burns the very core that the late thread waits
 * for: beside one other process, steps took seven to ten times as long.
 */
const SPIN_ROUNDS = "30000";

/** Settings of a user's own, which stay as they are. */
const OWN_SETTINGS = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

/**
 * Makes waiting threads give up their core soon. Called before the kernel library is loaded. Where
 * the environment may not be changed, GNU OpenMP's default stays: slower on a busy machine only.
 */
export function yieldWhenWaiting(): void {
  if (!OWN_SETTINGS.every((variable) => isGranted({ name: "env", variable }))) return;
  if (OWN_SETTINGS.some((name) => readEnvironment(name) !== undefined)) return;
  Deno.env.set("GOMP_SPINCOUNT", SPIN_ROUNDS);
}
