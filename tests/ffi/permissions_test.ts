import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openContext } from "../../lib/ffi/mod.ts";

const SCRIPT = new URL("./scoped_permissions.ts", import.meta.url).pathname;

async function run(
  permissions: string[],
  args: string[] = [],
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--quiet", ...permissions, SCRIPT, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout).trim(), stderr: decoder.decode(stderr) };
}

async function cpuLibrary(): Promise<string> {
  const { context } = await openContext({ kind: "cpu" });
  using _ = context;
  return context.library.path;
}

Deno.test("a named library needs only `--allow-ffi` for its path", async () => {
  const path = await cpuLibrary();
  const { stdout, stderr } = await run([`--allow-ffi=${path}`], [path]);
  assertEquals(stdout, "cpu 1 2 3 4", stderr);
});

Deno.test("the checkout's build is found with only `--allow-ffi` for its path", async () => {
  const path = await cpuLibrary();
  if (Deno.env.get("REMOE_LIBRARY")) return;
  const { stdout, stderr } = await run([`--allow-ffi=${path}`]);
  assertEquals(stdout, "cpu 1 2 3 4", stderr);
});

Deno.test("without permission the error names the missing one", async () => {
  const { code, stderr } = await run([], ["/nowhere/libremoe_cpu.so"]);
  assert(code !== 0);
  assertStringIncludes(stderr, "LibraryError");
  assertStringIncludes(stderr, "--allow-ffi");
});
