/** Compares things in one process by timing them in turn, round after round. @module */

/**
 * Times several things in turn, so that a machine that slows down slows all of them. Every second
 * round goes backwards, so that nothing always follows the same other thing.
 *
 * @param things What to time.
 * @param rounds How often, at least once.
 * @param run Runs one thing and waits until it is done.
 * @param onSample Called with each sample as it is taken.
 * @returns Seconds per thing, one sample per round.
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
