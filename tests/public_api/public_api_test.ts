import { assertEquals, assertMatch } from "@std/assert";
import { areas } from "./entries/mod.ts";
import { tryArea } from "./run_child.ts";

for (const area of Object.keys(areas)) {
  Deno.test(`every call of ${area} returns the right value or a helpful error`, async (test) => {
    const { entries, tries, errors, results, faults } = await tryArea(area);
    const size = `${entries} entries, ${tries} tries: ${errors} refused, ${results} results right`;
    await test.step(size, () => assertEquals(faults.join("\n"), ""));
  });
}

Deno.test("a call that hangs fails with the name of the area or the call", async () => {
  const { faults } = await tryArea("checkpoints", { seconds: 0.1 });
  assertEquals(faults.length, 1);
  assertMatch(faults[0]!, /^(checkpoints|[\w ]+: .*): did not end within 0.1 s/);
});
