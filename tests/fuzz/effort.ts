/** How long to fuzz. @module */

import type { Parameters } from "fast-check";

/**
 * Settings of a fuzzing property: a short while in the suite; `REMOE_FUZZ_RUNS=100000 deno test -A
 * tests/fuzz tests/public_api` searches for longer. A failure prints its seed; pass it as
 * `REMOE_FUZZ_SEED` to repeat it.
 *
 * @param numRuns Number of inputs unless the environment sets it.
 * @returns Options of `fc.assert`.
 */
export function effort<T>(numRuns: number): Parameters<T> {
  const runs = Deno.env.get("REMOE_FUZZ_RUNS");
  const seed = Deno.env.get("REMOE_FUZZ_SEED");
  return {
    ...(runs ? { numRuns: Number(runs) } : { numRuns, interruptAfterTimeLimit: 2000 }),
    ...(seed ? { seed: Number(seed) } : {}),
  };
}
