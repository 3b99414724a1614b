import { assert, assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { read } from "../../mod.ts";
import { randomNumbers } from "../../kernels/cases/reference/philox.ts";
import { openDevice } from "./open_device.ts";

const COUNT = 20_000;

/** Mean, standard deviation, and the mean of the product of neighbours. */
function moments(x: Float32Array): { mean: number; deviation: number; correlation: number } {
  let [sum, squares, products] = [0, 0, 0];
  for (const value of x) sum += value;
  const mean = sum / x.length;
  for (let i = 0; i < x.length; i++) {
    squares += (x[i]! - mean) ** 2;
    products += (x[i]! - mean) * (x[(i + 1) % x.length]! - mean);
  }
  return { mean, deviation: Math.sqrt(squares / x.length), correlation: products / squares };
}

Deno.test("the same seed gives the same numbers for any number of threads", async () => {
  using one = await openDevice({ seed: 7, threads: 1 });
  using two = await openDevice({ seed: 7, threads: 2 });
  assertEquals(await read(one.normal([COUNT])), await read(two.normal([COUNT])));
  assertEquals(await read(one.uniform([3, 5])), await read(two.uniform([3, 5])));
});

Deno.test("another seed, or the next draw, gives other numbers", async () => {
  using one = await openDevice({ seed: 7 });
  using two = await openDevice({ seed: 8 });
  const first = await read(one.normal([8]));
  assertNotEquals(first, await read(one.normal([8])));
  assertNotEquals(first, await read(two.normal([8])));
});

Deno.test("a draw does not depend on what was freed before", async () => {
  using one = await openDevice({ seed: 7 });
  using two = await openDevice({ seed: 7 });
  {
    using _scope = two.scope();
    two.zeros([1000]);
  }
  assertEquals(await read(one.normal([8])), await read(two.normal([8])));
});

Deno.test("draws are Philox keyed by the device's seed and the draw number", async () => {
  using device = await openDevice({ seed: 2 ** 40 + 5 });
  const seed = 2n ** 40n + 5n;
  const uniform = await read(device.uniform([10], { low: -2, high: 3 }));
  const normal = await read(device.normal([10], { mean: 1, deviation: 2 }));
  const expected = [
    randomNumbers("uniform", 10, -2, 3, { seed, operation: 0, step: 0 }),
    randomNumbers("normal", 10, 1, 2, { seed, operation: 1, step: 0 }),
  ] as const;
  for (let i = 0; i < 10; i++) {
    assertAlmostEquals(uniform[i]!, expected[0][i]!, 1e-6);
    assertAlmostEquals(normal[i]!, expected[1][i]!, 1e-5);
  }
});

// Bounds of five standard errors: of the mean 1/sqrt(n), of the deviation 1/sqrt(2n).
Deno.test("normal() has the requested mean and deviation", async () => {
  using device = await openDevice({ seed: 1 });
  const { mean, deviation, correlation } = moments(
    await read(device.normal([COUNT], { mean: 3, deviation: 0.5 })),
  );
  assertAlmostEquals(mean, 3, 5 * 0.5 / Math.sqrt(COUNT));
  assertAlmostEquals(deviation, 0.5, 5 * 0.5 / Math.sqrt(2 * COUNT));
  assertAlmostEquals(correlation, 0, 5 / Math.sqrt(COUNT));
});

Deno.test("uniform() stays within its bounds and fills them evenly", async () => {
  using device = await openDevice({ seed: 1 });
  const x = await read(device.uniform([COUNT], { low: -1, high: 3 }));
  assert(x.every((value) => value >= -1 && value < 3));
  const { mean, deviation } = moments(x);
  const expected = 4 / Math.sqrt(12);
  assertAlmostEquals(mean, 1, 5 * expected / Math.sqrt(COUNT));
  assertAlmostEquals(deviation, expected, 5 * expected / Math.sqrt(COUNT));
});
