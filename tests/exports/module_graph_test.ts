import { assert, assertEquals } from "@std/assert";
import { ROOT, runDeno } from "./deno_command.ts";

interface Module {
  specifier: string;
  dependencies?: { specifier: string; isDynamic?: boolean }[];
}

/** All modules that importing a file loads, literal dynamic imports included. */
async function graphOf(path: string): Promise<Module[]> {
  const { code, stdout, stderr } = await runDeno(ROOT, "info", "--json", path);
  assertEquals(code, 0, stderr);
  return (JSON.parse(stdout) as { modules: Module[] }).modules;
}

Deno.test("importing the library loads no package: only its own files and node's", async () => {
  const modules = await graphOf("mod.ts");
  const foreign = modules.map(({ specifier }) => specifier)
    .filter((specifier) =>
      !specifier.startsWith("node:") &&
      !specifier.startsWith(new URL("../../lib/", import.meta.url).href)
    );
  assertEquals(foreign, [new URL("../../mod.ts", import.meta.url).href]);
  // A literal dynamic import of a package would be fetched when the program starts.
  for (const { specifier, dependencies = [] } of modules) {
    for (const dependency of dependencies) {
      assert(/^(node:|\.)/.test(dependency.specifier), `${specifier}: ${dependency.specifier}`);
      assertEquals(dependency.isDynamic ?? false, false, `${specifier}: ${dependency.specifier}`);
    }
  }
});

Deno.test("the shapes alone load nothing at all", async () => {
  const modules = await graphOf("lib/tensor/shape.ts");
  assertEquals(modules.length, 1);
});

Deno.test("imports point one way: from the loop down to the calls", async () => {
  // Each layer may use those to its right; nn, moe, optim and data stand side by side.
  const order = ["train", "nn|moe|optim|data", "autograd", "tensor", "ffi"];
  const levelOf = (specifier: string): number => {
    const folder = /\/lib\/(\w+)\//.exec(specifier)?.[1];
    return order.findIndex((names) => names.split("|").includes(folder ?? ""));
  };
  const config = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as {
    exports: Record<string, string>;
  };
  const graphs = await Promise.all(Object.values(config.exports).map(graphOf));
  for (const { specifier, dependencies = [] } of graphs.flat()) {
    const level = levelOf(specifier);
    if (level < 0) continue;
    for (const dependency of dependencies) {
      if (!dependency.specifier.startsWith(".")) continue;
      const target = new URL(dependency.specifier, specifier).href;
      const below = levelOf(target);
      const isSibling = below === level && target.includes(folderOf(specifier));
      const isAllowed = below < 0 || below > level || isSibling;
      assert(isAllowed, `${specifier} imports ${target}`);
    }
  }
});

/** `/lib/nn/` of a module's address. */
function folderOf(specifier: string): string {
  return /\/lib\/\w+\//.exec(specifier)![0];
}
