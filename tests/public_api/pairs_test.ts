/** Pairs of mutations: a few of them here, `REMOE_FUZZ_RUNS=20000` for longer, and every mutation. */
import { assertEquals } from "@std/assert";
import { effort } from "../fuzz/effort.ts";
import { areas } from "./entries/mod.ts";
import { tryArea } from "./run_child.ts";

const FEW = 40;
const { numRuns: count = FEW, seed = 1 } = effort<unknown>(FEW);
const isLong = count > FEW;
const seconds = isLong ? 3600 : 120;

for (const area of Object.keys(areas)) {
  Deno.test(`pairs of mutations of calls of ${area} mislead none of them`, async (test) => {
    const { tries, errors, results, faults } = await tryArea(area, {
      pairs: { count, seed },
      seconds,
    });
    const size = `${tries} pairs of seed ${seed}: ${errors} refused, ${results} results right`;
    await test.step(size, () => assertEquals(faults.join("\n"), ""));
  });

  Deno.test({
    name: `every mutation of slow calls of ${area} too`,
    ignore: !isLong,
    fn: async () => {
      const { faults } = await tryArea(area, { all: true, seconds });
      assertEquals(faults.join("\n"), "");
    },
  });
}
