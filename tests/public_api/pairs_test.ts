/**
 * Pairs of mutations: a few here; `REMOE_FUZZ_RUNS=20000` tries that many, and every mutation of
 * slow calls.
 */
import { assertEquals } from "@std/assert";
import { effort } from "../fuzz/effort.ts";
import { areas } from "./entries/mod.ts";
import { ALL, tryArea } from "./run_child.ts";

const FEW = 300;
const { numRuns: count = FEW, seed: given } = effort<unknown>(FEW);
const isLong = count > FEW;
// A search picks new pairs each time; the seed is in its name.
const seed = given ?? (isLong ? Math.floor(Math.random() * 2 ** 31) : 1);
const seconds = isLong ? 7200 : 120;

Deno.test("no pair of mutated arguments gives a silently wrong result", async (test) => {
  const { entries, tries, errors, results, faults } = await tryArea(ALL, {
    pairs: { count, seed },
    seconds,
  });
  const size = `${entries} entries, ${tries} pairs of seed ${seed}: ${errors} refused, ` +
    `${results} results right`;
  await test.step(size, () => assertEquals(faults.join("\n"), ""));
});

for (const [area, entries] of Object.entries(areas)) {
  if (entries.every(({ tries }) => tries === undefined)) continue;
  Deno.test({
    name: `no mutation misleads the slow calls of ${area}`,
    ignore: !isLong,
    fn: async () => {
      const { faults } = await tryArea(area, { all: true, seconds });
      assertEquals(faults.join("\n"), "");
    },
  });
}
