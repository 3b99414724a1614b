import { assert, assertEquals } from "@std/assert";
import { EXPERIMENTS } from "../../bench/reproduction/experiments.ts";
import { parseCompareFlags } from "../../cli/compare/flags.ts";
import { compareRequest } from "../../cli/compare/request.ts";

Deno.test("every comparison of the reproduction is a valid command", async () => {
  assertEquals(new Set(EXPERIMENTS.map(({ name }) => name)).size, EXPERIMENTS.length);
  for (const { name, flags } of EXPERIMENTS) {
    const given = parseCompareFlags([...flags, "--out", name]);
    const { rows } = await compareRequest(given, Deno.cwd(), "avx2");
    assert(rows.length > 0, name);
  }
});
