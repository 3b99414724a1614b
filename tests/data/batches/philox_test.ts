import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";

import { philox4x32, philoxKey } from "../../../lib/data/batches/philox.ts";
import type { PhiloxCounter, PhiloxKey } from "../../../lib/data/batches/philox.ts";

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });

// Known answers from Random123, by the generator's authors.
const KNOWN: readonly { counter: PhiloxCounter; key: PhiloxKey; words: number[] }[] = [
  {
    counter: [0, 0, 0, 0],
    key: [0, 0],
    words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  },
  {
    counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    key: [0xffffffff, 0xffffffff],
    words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    key: [0xa4093822, 0x299f31d0],
    words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
];

Deno.test("`philox4x32()` reproduces the known answers", () => {
  for (const { counter, key, words } of KNOWN) {
    assertEquals([...philox4x32(counter, key)], words);
  }
});

Deno.test("`philox4x32()` agrees with 64-bit products for any counter and key", () => {
  const counters = fc.tuple(word, word, word, word);
  fc.assert(fc.property(counters, fc.tuple(word, word), (counter, key) => {
    assertEquals([...philox4x32(counter, key)], reference(counter, key));
  }));
});

Deno.test("`philox4x32()` fills the array it is given", () => {
  const target = new Uint32Array(4);
  assertEquals(philox4x32([1, 2, 3, 4], [5, 6], target), target);
  assertEquals([...target], reference([1, 2, 3, 4], [5, 6]));
});

Deno.test("`philoxKey()` returns the low and high words of a seed", () => {
  assertEquals(philoxKey(0), [0, 0]);
  assertEquals(philoxKey(0xffffffff), [0xffffffff, 0]);
  assertEquals(philoxKey(2 ** 53 - 1), [0xffffffff, 0x1fffff]);
});

Deno.test("`philoxKey()` refuses invalid seeds", () => {
  for (const seed of [-1, 0.5, NaN, 2 ** 53]) assertThrows(() => philoxKey(seed), RangeError);
});

function reference(counter: PhiloxCounter, key: PhiloxKey): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  const mask = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const [p0, p1] = [0xd2511f53n * c0, 0xcd9e8d57n * c2];
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
    [k0, k1] = [(k0 + 0x9e3779b9n) & mask, (k1 + 0xbb67ae85n) & mask];
  }
  return [c0, c1, c2, c3].map(Number);
}
