/** Comparisons in one process: everything in turn, round after round. @module */

/**
 * Times several things in turn, so that a machine that slows down slows all of them; every second
 * round goes backwards, so that none always follows the same other.
 *
 * @param things What to time.
 * @param rounds How often, at least once.
 * @param run Runs one of them, and waits until it is done.
 * @param onSample Told of each sample as it is taken.
 * @returns Seconds of each thing, a sample a round.
 */
export function timeInTurn<Thing>(
  things: readonly Thing[],
  rounds: number,
  run: (thing: Thing) => void,
  onSample: (thing: Thing, seconds: number, round: number) => void = () => {},
): Map<Thing, number[]> {
  const seconds = new Map<Thing, number[]>(things.map((thing) => [thing, []]));
  for (let round = 0; round < rounds; round++) {
    for (const thing of round % 2 === 0 ? things : things.toReversed()) {
      const started = performance.now();
      run(thing);
      const sample = (performance.now() - started) / 1e3;
      seconds.get(thing)!.push(sample);
      onSample(thing, sample, round + 1);
    }
  }
  return seconds;
}
