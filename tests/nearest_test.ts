import { assertEquals } from "@std/assert";
import { nearest } from "../lib/nearest.ts";

const KNOWN = ["steps", "seed", "sequence", "router"];

Deno.test("`nearest()` finds words with an extra, missing, wrong or swapped letter", () => {
  for (const word of ["stepss", "step", "staps", "stesp", "STEPS"]) {
    assertEquals(nearest(word, KNOWN), "steps");
  }
});

Deno.test("`nearest()` prefers the nearer of two words and gives up on unrelated ones", () => {
  assertEquals(nearest("seeds", KNOWN), "seed");
  assertEquals(nearest("wallpaper", KNOWN), undefined);
  assertEquals(nearest("", KNOWN), undefined);
  assertEquals(nearest("steps", []), undefined);
});
