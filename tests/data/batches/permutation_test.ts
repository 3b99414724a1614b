import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";

import { Permutation } from "../../../lib/data/batches/permutation.ts";

function orderOf(size: number, seed: number, epoch: number): number[] {
  const permutation = new Permutation(size, seed, epoch);
  return Array.from({ length: size }, (_, i) => permutation.at(i));
}

Deno.test("`Permutation` holds every integer once, for any size, seed and epoch", () => {
  const seeds = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  const epochs = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), seeds, epochs, (size, seed, epoch) => {
      const sorted = orderOf(size, seed, epoch).toSorted((a, b) => a - b);
      assertEquals(sorted, Array.from({ length: size }, (_, i) => i));
    }),
    { numRuns: 50 },
  );
});

Deno.test("`Permutation` has a different order for each seed and epoch", () => {
  const order = orderOf(100, 1, 0);
  assertEquals(orderOf(100, 1, 0), order);
  assertNotEquals(orderOf(100, 2, 0), order);
  assertNotEquals(orderOf(100, 1 + 2 ** 32, 0), order);
  assertNotEquals(orderOf(100, 1, 1), order);
});

Deno.test("`Permutation` maps each integer to each position about equally often", () => {
  const size = 10;
  const trials = 5000;
  const counts = Array.from({ length: size * size }, () => 0);
  for (let seed = 0; seed < trials; seed++) {
    orderOf(size, seed, 0).forEach((value, place) => counts[place * size + value]! += 1);
  }
  // Each count is binomial with mean 500 and deviation 21; a hundred of them stay within 5.
  for (const count of counts) assert(Math.abs(count - 500) < 5 * 21.3, `${count} of 500`);
});

Deno.test("`Permutation` permutes 2^32 integers without storing them", () => {
  const permutation = new Permutation(2 ** 32, 3, 0);
  const found = [0, 1, 2 ** 31, 2 ** 32 - 1].map((place) => permutation.at(place));
  assertEquals(new Set(found).size, 4);
  assert(found.every((value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32));
});

Deno.test("`Permutation` refuses sizes, epochs and positions out of range", () => {
  for (const size of [0, -1, 1.5, 2 ** 32 + 1]) {
    assertThrows(() => new Permutation(size, 0, 0), RangeError, "Cannot permute");
  }
  for (const epoch of [-1, 2 ** 32]) {
    assertThrows(() => new Permutation(5, 0, epoch), RangeError, "epoch");
  }
  for (const position of [-1, 5, 0.5]) {
    assertThrows(() => new Permutation(5, 0, 0).at(position), RangeError, "position");
  }
});
