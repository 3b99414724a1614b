import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { isThere } from "../../kernels/tools/build_files.ts";

const OBJECTS = fileURLToPath(
  new URL("../../kernels/build/cmake-cpu/cpu/CMakeFiles", import.meta.url),
);

/** Compiled for any machine and linked first, so their copies can run anywhere. */
const PLAIN = ["common", "baseline"];

function run(command: string, args: readonly string[]): string {
  const { stdout } = new Deno.Command(command, { args: [...args], stderr: "inherit" }).outputSync();
  return new TextDecoder().decode(stdout);
}

const hasCompiler = ["c++", "nm"].every((command) => {
  try {
    return new Deno.Command(command, { args: ["--version"], stdout: "null" }).outputSync().success;
  } catch {
    return false;
  }
});

/** The object files below a folder. */
function objectsBelow(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? objectsBelow(path) : name.endsWith(".o") ? [path] : [];
  });
}

/** Functions of which the linker keeps a single copy, with the targets that define one. */
function sharedSymbols(objects: Readonly<Record<string, readonly string[]>>): string[] {
  const targetsOf = new Map<string, Set<string>>();
  for (const [target, paths] of Object.entries(objects)) {
    for (const line of run("nm", ["--defined-only", ...paths]).split("\n")) {
      const [, kind = "", symbol = ""] = line.split(" ");
      // GCC's pointer to the exception handler is the same on every machine.
      if (!/^[WVu]$/.test(kind) || symbol.startsWith("DW.ref.")) continue;
      targetsOf.set(symbol, (targetsOf.get(symbol) ?? new Set()).add(target));
    }
  }
  return [...targetsOf].filter(([, targets]) =>
    targets.size > 1 && [...targets].some((target) => !PLAIN.includes(target))
  ).map(([symbol, targets]) => `${symbol} in ${[...targets].join(", ")}`);
}

Deno.test({
  name: "`sharedSymbols()` finds an inline function outside of its target's namespace",
  ignore: !hasCompiler,
  fn() {
    const folder = Deno.makeTempDirSync({ prefix: "remoe_symbols" });
    const objects: Record<string, string[]> = {};
    for (const target of ["baseline", "avx2"]) {
      const [source, object] = [`${folder}/${target}.cpp`, `${folder}/${target}.o`];
      Deno.writeTextFileSync(
        source,
        `inline int shared() { return 1; }
         namespace ${target} { inline int own() { return shared(); } int call() { return own(); } }`,
      );
      run("c++", ["-O0", "-c", source, "-o", object]);
      objects[target] = [object];
    }
    assertEquals(sharedSymbols(objects), ["_Z6sharedv in baseline, avx2"]);
    Deno.removeSync(folder, { recursive: true });
  },
});

Deno.test({
  name: "no function compiled for one instruction set can be taken for another's",
  ignore: !hasCompiler || !isThere(`${OBJECTS}/../cmake_install.cmake`),
  fn() {
    const objects = Object.fromEntries(
      [...Deno.readDirSync(OBJECTS)].flatMap(({ name }) => {
        const target = /^remoe_(common|baseline|avx2|avx512|avx512_bf16)\.dir$/.exec(name)?.[1];
        return target === undefined ? [] : [[target, objectsBelow(`${OBJECTS}/${name}`)]];
      }),
    );
    assert(objects.baseline!.length > 0);
    assertEquals(sharedSymbols(objects), []);
  },
});
