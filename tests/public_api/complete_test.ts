import { assertEquals } from "@std/assert";
import { areas } from "./entries/mod.ts";
import { exportedCalls } from "./exported_calls.ts";

const tabled = new Set(Object.values(areas).flat().map(({ of }) => of));

Deno.test("every exported call has an entry in the table, and every entry is exported", async () => {
  const exported = await exportedCalls();
  assertEquals([...exported.difference(tabled)], [], "without an entry");
  assertEquals([...tabled.difference(exported)], [], "not exported");
});
