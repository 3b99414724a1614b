import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LibraryError } from "../../lib/errors.ts";
import { ABI_VERSION, openContext, openLibrary, Status } from "../../lib/ffi/mod.ts";
import { buildLibrary, canBuild } from "./tiny_library.ts";

Deno.test("`openLibrary()` reports ABI version, path and build", async () => {
  const { context } = await openContext();
  using _ = context;
  const { abiVersion, buildInfo, path, missing } = context.library;
  assertEquals(abiVersion, ABI_VERSION);
  assert(path.length > 0);
  if (buildInfo.backend === "cpu") assertEquals(missing, []);
  assert(["cpu", "cuda", "emulated"].includes(buildInfo.backend));
  for (const key of ["version", "compiler", "gemm"] as const) assert(buildInfo[key].length > 0);
  assert(buildInfo.isa.length > 0);
});

Deno.test("`openLibrary()` names a file that does not exist", () => {
  assertThrows(
    () => openLibrary("/nowhere/libremoe_cpu.so"),
    LibraryError,
    'Cannot open "/nowhere/libremoe_cpu.so" as a kernel library',
  );
});

Deno.test("`openLibrary()` refuses a file that is not a library", () => {
  const path = Deno.makeTempFileSync({ suffix: ".so" });
  try {
    Deno.writeTextFileSync(path, "not a library");
    const error = assertThrows(() => openLibrary(path), LibraryError);
    assert(error.cause instanceof Error);
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test({
  name: "`openLibrary()` refuses another ABI version and names both",
  ignore: !canBuild(),
  fn() {
    using library = buildLibrary("int remoe_abi_version(void) { return 999; }");
    const error = assertThrows(() => openLibrary(library.path), LibraryError);
    assertStringIncludes(error.message, "999");
    assertStringIncludes(error.message, `version ${ABI_VERSION}`);
  },
});

Deno.test({
  name: "`openLibrary()` refuses a library that is not of remoe",
  ignore: !canBuild(),
  fn() {
    using library = buildLibrary("int something_else(void) { return 1; }", { info: false });
    assertThrows(() => openLibrary(library.path), LibraryError, "Failed to register symbol remoe_");
  },
});

Deno.test({
  name: "`openLibrary()` refuses build information that is not JSON",
  ignore: !canBuild(),
  fn() {
    using library = buildLibrary(
      `int remoe_abi_version(void) { return ${ABI_VERSION}; }
       int remoe_build_info(char* b, unsigned long n) { if (n > 2) b[0] = '?'; return 1; }`,
      { info: false },
    );
    assertThrows(() => openLibrary(library.path), LibraryError, "not JSON");
  },
});

Deno.test({
  name: "a symbol that a build lacks returns `unsupported`",
  ignore: !canBuild(),
  fn() {
    using file = buildLibrary(`int remoe_abi_version(void) { return ${ABI_VERSION}; }`);
    const library = openLibrary(file.path);
    try {
      assert(library.missing.includes("remoe_gemm"));
      assertEquals(library.symbols.remoe_synchronize(0n), Status.unsupported);
      assertEquals(library.symbols.remoe_abi_version(), ABI_VERSION);
      assertEquals(library.buildInfo.backend, "cuda");
      assertEquals(library.buildInfo.compiler.length, 3000, "longer than the first buffer");
    } finally {
      library.close();
    }
  },
});
