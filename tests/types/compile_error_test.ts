import { assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";

const MODULE = new URL("../../mod.ts", import.meta.url).href;
const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));

/** The compiler's output for a program that imports the library, without colours. */
async function compile(program: string): Promise<{ code: number; text: string }> {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/program.ts`;
    await Deno.writeTextFile(path, program);
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--no-lock", "--config", CONFIG, path],
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    return { code, text: new TextDecoder().decode(stderr) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the compiler names the two mismatched sizes", async (t) => {
  const { code, text } = await compile(`
import { add, Device, matmul } from "${MODULE}";
using device = await Device.open();
matmul(device.zeros([2, 3]), device.zeros([4, 5]));
matmul(device.zeros([7, 2, 3]), device.zeros([4, 5]));
add(device.zeros([2, 3]), device.zeros([2, 4]));
matmul(device.zeros([7, 2, 4]), device.zeros([4, 5]));
add(device.zeros([2, 3]), device.zeros([2, 1]));
`);
  await t.step("where they mismatch, and nowhere else", () => {
    assertEquals(code, 1);
    assertEquals(text.match(/program\.ts:\d+/g), ["program.ts:4", "program.ts:5", "program.ts:6"]);
    assertStringIncludes(text, "Found 3 errors");
  });
  await t.step("for two matrices", () => {
    assertStringIncludes(text, "readonly [4, 5]");
    assertStringIncludes(text, "readonly [3,");
  });
  await t.step("for leading axes, in words", () => {
    assertStringIncludes(text, "matmul of [7, 2, 3] and [4, 5]: 3 is not 4");
  });
  await t.step("for a broadcast, in words", () => {
    assertStringIncludes(text, "cannot broadcast [2, 3] with [2, 4]");
  });
});
