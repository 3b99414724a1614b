/** Compares things in one process by timing them in turn, round after round. @module */

import type { Times } from "./results.ts";
import { Watch } from "./watch.ts";

/** Options of {@linkcode timeInTurn}. */
export interface TurnOptions<Thing> {
  /** How often each thing is timed, at least once. */
  readonly rounds: number;
  /** Measures the peak before and after each sample, which is taken again if they disagree. */
  readonly probe: () => number;
  /** Called with each sample that is kept. */
  readonly onSample?: (thing: Thing, seconds: number, round: number) => void;
}

/**
 * Times several things in turn, so that a machine that slows down slows all of them. Every second
 * round goes backwards, so that nothing always follows the same other thing.
 *
 * @param things What to time.
 * @param run Runs one thing and waits until it is done.
 * @param options Rounds and probe.
 * @returns Seconds per thing, one sample per round, disturbed if any of them is.
 */
export function timeInTurn<Thing>(
  things: readonly Thing[],
  run: (thing: Thing) => void,
  { rounds, probe, onSample }: TurnOptions<Thing>,
): Map<Thing, Times> {
  const all = new Map(things.map((thing): [Thing, Times] => {
    return [thing, { seconds: [], disturbed: false }];
  }));
  for (let round = 0; round < rounds; round++) {
    for (const thing of round % 2 === 0 ? things : things.toReversed()) {
      const watch = new Watch(probe);
      let sample: number;
      do {
        const started = performance.now();
        run(thing);
        sample = (performance.now() - started) / 1e3;
      } while (watch.repeats());
      const times = all.get(thing)!;
      times.seconds.push(sample);
      times.disturbed ||= watch.disturbed;
      onSample?.(thing, sample, round + 1);
    }
  }
  return all;
}
