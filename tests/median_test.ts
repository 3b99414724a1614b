import { assertEquals } from "@std/assert";
import { median } from "../lib/median.ts";

Deno.test("`median()` takes the middle, or the mean of the two in the middle", () => {
  assertEquals(median([3]), 3);
  assertEquals(median([30, 1, 2]), 2);
  assertEquals(median([4, 1, 1000, 2]), 3);
  assertEquals(median([]), NaN);
});

Deno.test("`median()` orders by value, and leaves its argument as it is", () => {
  const values = [10, 9, -1];
  assertEquals(median(values), 9);
  assertEquals(values, [10, 9, -1]);
});
