import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { CONTROL_GROUP_CASES, writeSystem } from "../control_group_cases.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

const hasCompiler = (() => {
  try {
    const version = new Deno.Command("c++", { args: ["--version"], stdout: "null" });
    return version.outputSync().success;
  } catch {
    return false;
  }
})();

Deno.test({
  name: "the CPU library sees the limits of control groups",
  ignore: !hasCompiler,
  async fn(t) {
    const folder = Deno.makeTempDirSync({ prefix: "remoe_groups" });
    const [kernels, program] = [`${ROOT}kernels/cpu`, `${folder}/control_groups`];
    const sources = [
      `${ROOT}tests/kernels/control_groups.cpp`,
      `${kernels}/runtime/control_groups.cpp`,
    ];
    const { success, stderr } = new Deno.Command("c++", {
      args: ["-std=c++20", `-I${kernels}`, ...sources, "-o", program],
    }).outputSync();
    assertEquals(success, true, new TextDecoder().decode(stderr));
    for (const [i, system] of CONTROL_GROUP_CASES.entries()) {
      await t.step(system.name, () => {
        const root = `${folder}/${i}/`;
        Deno.mkdirSync(root);
        writeSystem(root, system);
        const { stdout } = new Deno.Command(program, { args: [root] }).outputSync();
        const { bytes = 2n ** 64n - 1n, cores = "inf" } = system;
        assertEquals(new TextDecoder().decode(stdout), `${BigInt(bytes)} ${cores}\n`);
      });
    }
    Deno.removeSync(folder, { recursive: true });
  },
});
