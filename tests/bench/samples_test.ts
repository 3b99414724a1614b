import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { geometricMean, median, summarize } from "../../bench/harness/samples.ts";

Deno.test("`median()` takes the middle, or the mean of the two in the middle", () => {
  assertEquals(median([3]), 3);
  assertEquals(median([30, 1, 2]), 2);
  assertEquals(median([4, 1, 1000, 2]), 3);
  assertThrows(() => median([]), RangeError, "there are no samples");
});

Deno.test("`summarize()` leaves the samples as they are", () => {
  const seconds = [0.3, 0.1, 0.2];
  assertEquals(summarize(seconds), { count: 3, median: 0.2, min: 0.1, max: 0.3 });
  assertEquals(seconds, [0.3, 0.1, 0.2]);
});

Deno.test("`geometricMean()` of twice and half is 1", () => {
  assertAlmostEquals(geometricMean([2, 0.5]), 1);
  assertAlmostEquals(geometricMean([8, 1, 1]), 2);
});
