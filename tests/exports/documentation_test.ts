import { assertEquals } from "@std/assert";
import { ROOT, runDeno } from "./deno_command.ts";

Deno.test("every export is documented, and no public type hides a private one", async () => {
  const config = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as {
    exports: Record<string, string>;
  };
  const entries = Object.values(config.exports);
  assertEquals(entries.length, 5);
  const { code, stdout, stderr } = await runDeno(ROOT, "doc", "--lint", ...entries);
  assertEquals(code, 0, stdout + stderr);
});
