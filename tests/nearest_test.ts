import { assertEquals } from "@std/assert";
import { nearest } from "../lib/nearest.ts";

const KNOWN = ["steps", "seed", "sequence", "router"];

Deno.test("`nearest()` finds the word with a letter too many, too few, wrong, or swapped", () => {
  for (const word of ["stepss", "step", "staps", "stesp", "STEPS"]) {
    assertEquals(nearest(word, KNOWN), "steps");
  }
});

Deno.test("`nearest()` prefers the nearer of two and gives up on other words", () => {
  assertEquals(nearest("seeds", KNOWN), "seed");
  assertEquals(nearest("wallpaper", KNOWN), undefined);
  assertEquals(nearest("", KNOWN), undefined);
  assertEquals(nearest("steps", []), undefined);
});
