import { assertEquals } from "@std/assert";
import { join } from "node:path";

import { defaultCacheFolder } from "../../../lib/data/corpus/cache_folder.ts";

/** Sets environment variables during a test; "" unsets one. */
function withVariables(variables: Record<string, string>, test: () => void): void {
  const names = Object.keys(variables);
  const before = names.map((name) => Deno.env.get(name));
  const set = (name: string, value: string | undefined) =>
    value ? Deno.env.set(name, value) : Deno.env.delete(name);
  try {
    names.forEach((name) => set(name, variables[name]));
    test();
  } finally {
    names.forEach((name, i) => set(name, before[i]));
  }
}

Deno.test("`defaultCacheFolder()` prefers $XDG_CACHE_HOME", () => {
  withVariables({ XDG_CACHE_HOME: "/some/cache", HOME: "/home/user" }, () => {
    assertEquals(defaultCacheFolder(), join("/some/cache", "remoe"));
  });
});

Deno.test({
  name: "`defaultCacheFolder()` falls back to ~/.cache, then to none",
  ignore: Deno.build.os === "windows",
  fn() {
    withVariables({ XDG_CACHE_HOME: "", HOME: "/home/user" }, () => {
      assertEquals(defaultCacheFolder(), "/home/user/.cache/remoe");
    });
    withVariables({ XDG_CACHE_HOME: "", HOME: "" }, () => {
      assertEquals(defaultCacheFolder(), undefined);
    });
  },
});

Deno.test({
  name: "`defaultCacheFolder()` is unknown without access to the environment",
  permissions: { env: false },
  fn() {
    assertEquals(defaultCacheFolder(), undefined);
  },
});
