import { assert, assertEquals } from "@std/assert";
import { graphOf } from "./module_graph.ts";

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
