import { assert, assertEquals } from "@std/assert";
import { graphOf, importsAmong } from "./module_graph.ts";

Deno.test("importing the library loads no packages, only its own files and node's", async () => {
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

Deno.test("importing only the shapes loads nothing", async () => {
  const modules = await graphOf("lib/tensor/shape.ts");
  assertEquals(modules.length, 1);
});

Deno.test("configuration, help and charts load no kernels: router rows are plain data", async () => {
  const { values } = await importsAmong(["lib", "cli"]);
  for (const entry of ["lib/config/parse_config.ts", "cli/train/help.ts", "lib/plot/charts.ts"]) {
    const loaded = new Set([entry]);
    for (const file of loaded) values.get(file)!.forEach((target) => loaded.add(target));
    assert(loaded.has("lib/moe/routers.ts"), entry);
    assertEquals([...loaded].filter((file) => /^lib\/(ffi|tensor)\//.test(file)), []);
  }
});
