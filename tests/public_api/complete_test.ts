import { assertEquals } from "@std/assert";
import { areas } from "./entries/mod.ts";
import { exportedCalls } from "./exported_calls.ts";
import { OUTSIDE } from "./outside_the_table.ts";

const tabled = new Set(Object.values(areas).flat().map(({ of }) => of));

Deno.test("every exported call has an entry in the table, and every entry is exported", async () => {
  const exported = await exportedCalls();
  const known = new Set([...tabled, ...OUTSIDE]);
  assertEquals([...exported.difference(known)], [], "without an entry");
  assertEquals([...known.difference(exported)], [], "not exported");
  assertEquals(OUTSIDE.filter((call) => tabled.has(call)), [], "in the table, so not outside it");
});
