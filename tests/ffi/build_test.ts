import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { libraryFileName } from "../../lib/ffi/mod.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

const CMAKE = `
cmake_minimum_required(VERSION 3.20)
project(remoe_kernels LANGUAGES CXX)
if(REMOE_ONEDNN STREQUAL "ON" AND EXISTS \${CMAKE_CURRENT_SOURCE_DIR}/cpu/without_onednn)
  message(FATAL_ERROR "REMOE_ONEDNN=ON, but oneDNN was not found")
endif()
add_library(remoe_cpu SHARED cpu/kernel.cpp)
if(EXISTS \${CMAKE_CURRENT_SOURCE_DIR}/cpu/slowly.sh)
  # Stands in for a compiler that takes long.
  add_custom_target(slowly COMMAND sh \${CMAKE_CURRENT_SOURCE_DIR}/cpu/slowly.sh)
  add_dependencies(remoe_cpu slowly)
endif()
`;

const canBuild = ["c++", "cmake"].every((command) => {
  try {
    return new Deno.Command(command, { args: ["--version"], stdout: "null" }).outputSync().success;
  } catch {
    return false;
  }
});

const hasFlock = (() => {
  try {
    return new Deno.Command("flock", { args: ["--version"], stdout: "null" }).outputSync().success;
  } catch {
    return false;
  }
})();

const canInstall = Deno.uid() === 0 && isFile("/etc/debian_version");

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** A checkout with one source file standing in for the kernels. */
class Checkout implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "remoe_checkout" });
  readonly library = `${this.directory}/kernels/build/${libraryFileName("cpu")}`;

  constructor() {
    for (const path of ["kernels/include", "kernels/cpu", "kernels/tools", "lib/ffi"]) {
      Deno.mkdirSync(`${this.directory}/${path}`, { recursive: true });
    }
    for (
      const path of [
        "kernels/tools/build.ts",
        "kernels/tools/build_files.ts",
        "kernels/tools/build_tools.ts",
        "kernels/tools/run_cmake.ts",
        "lib/errors.ts",
        "lib/extremes.ts",
        "lib/files.ts",
        "lib/machine.ts",
        "lib/permissions.ts",
        "lib/system_reason.ts",
        "lib/ffi/download.ts",
        "lib/ffi/find_library.ts",
        "lib/ffi/release.ts",
      ]
    ) Deno.copyFileSync(ROOT + path, `${this.directory}/${path}`);
    Deno.writeTextFileSync(`${this.directory}/kernels/CMakeLists.txt`, CMAKE);
    this.write("kernel.cpp", "int kernel() { return 1; }\n");
  }

  write(name: string, text: string): void {
    Deno.writeTextFileSync(`${this.directory}/kernels/cpu/${name}`, text);
  }

  start(env: Record<string, string> = {}, ...args: string[]): Deno.ChildProcess {
    return new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", `${this.directory}/kernels/tools/build.ts`, ...args],
      // As root, a test must not install anything.
      env: { REMOE_NO_INSTALL: "1", REMOE_LIBRARY: "", NO_COLOR: "1", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  async build(
    env: Record<string, string> = {},
    ...args: string[]
  ): Promise<{ code: number; stderr: string }> {
    const { code, stderr } = await this.start(env, ...args).output();
    return { code, stderr: new TextDecoder().decode(stderr) };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

Deno.test({
  name: "`ensureKernels()` builds where the sources have changed, and only then",
  ignore: !canBuild,
  async fn() {
    using checkout = new Checkout();
    const first = await checkout.build();
    assertEquals(first.code, 0, first.stderr);
    assertStringIncludes(first.stderr, "Built ");
    assertEquals((await checkout.build()).stderr, "");
    const before = Deno.readFileSync(checkout.library);
    checkout.write("kernel.cpp", "int kernel() { return 2; }\nint other() { return 3; }\n");
    assertStringIncludes((await checkout.build()).stderr, "Built ");
    assert(String(Deno.readFileSync(checkout.library)) !== String(before));
    assertStringIncludes((await checkout.build({}, "--force")).stderr, "Built ");
    Deno.removeSync(checkout.library);
    assertStringIncludes((await checkout.build()).stderr, "Built ");
  },
});

Deno.test({
  name: "`ensureKernels()` builds once where two processes ask at the same time",
  ignore: !canBuild,
  async fn() {
    using checkout = new Checkout();
    const both = await Promise.all([checkout.build(), checkout.build()]);
    assertEquals(both.map(({ code }) => code), [0, 0]);
    assertEquals(both.filter(({ stderr }) => stderr.includes("Built ")).length, 1);
  },
});

Deno.test({
  name: "`ensureKernels()` takes a stamp that cannot be read for none",
  ignore: !canBuild,
  async fn() {
    using checkout = new Checkout();
    await checkout.build();
    const stamp = `${checkout.directory}/kernels/build/cpu.stamp.json`;
    const whole = Deno.readTextFileSync(stamp);
    for (const torn of ["", whole.slice(0, whole.length / 2), "null", "7"]) {
      Deno.writeTextFileSync(stamp, torn);
      const { code, stderr } = await checkout.build();
      assertEquals(code, 0, stderr);
      assertStringIncludes(stderr, "Built ");
      assertEquals(Deno.readTextFileSync(stamp), whole);
    }
  },
});

Deno.test({
  name: "`ensureKernels()` waits for the compilers that a killed builder has left",
  ignore: !canBuild || !hasFlock,
  async fn() {
    using checkout = new Checkout();
    const log = `${checkout.directory}/log`;
    Deno.writeTextFileSync(log, "");
    checkout.write("slowly.sh", `echo start >> ${log}\nsleep 1\necho end >> ${log}\n`);
    const builder = checkout.start();
    while (Deno.readTextFileSync(log) === "") await new Promise((done) => setTimeout(done, 10));
    builder.kill("SIGKILL");
    await builder.output();
    const torn = `${checkout.directory}/kernels/build/cmake-cpu/torn.o`;
    Deno.writeTextFileSync(torn, "");
    const { code, stderr } = await checkout.build();
    assertEquals(code, 0, stderr);
    assertEquals(Deno.readTextFileSync(log), "start\nend\nstart\nend\n");
    assert(!isFile(torn), "what the killed compilers have left is not trusted");
  },
});

Deno.test({
  name: "`ensureKernels()` shows the compiler's words on failure and keeps the old library",
  ignore: !canBuild,
  async fn() {
    using checkout = new Checkout();
    await checkout.build();
    const before = Deno.readFileSync(checkout.library);
    checkout.write("kernel.cpp", "int kernel() { return nowhere; }\n");
    const { code, stderr } = await checkout.build();
    assertEquals(code, 1);
    assertStringIncludes(stderr, "nowhere");
    assertEquals(Deno.readFileSync(checkout.library), before);
    assertEquals((await checkout.build()).code, 1, "it is tried again");
  },
});

Deno.test({
  name: "`ensureKernels()` goes without oneDNN where it is not found, and says so",
  ignore: !canBuild,
  async fn() {
    using checkout = new Checkout();
    checkout.write("without_onednn", "");
    const { code, stderr } = await checkout.build();
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "oneDNN was not found");
    assertStringIncludes(stderr, "without oneDNN");
  },
});

Deno.test("`ensureKernels()` names what is missing and the command to run", async () => {
  using checkout = new Checkout();
  const { code, stderr } = await checkout.build({ PATH: "/nowhere" });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "c++, cmake, make missing");
  assert(/apt-get install|Install a C\+\+20 compiler/.test(stderr), stderr);
});

Deno.test({
  name: "`ensureKernels()` installs what is missing as root, where that is not forbidden",
  ignore: !canBuild || !canInstall,
  async fn() {
    using checkout = new Checkout();
    const bin = `${checkout.directory}/bin`;
    // Stands in for apt-get: has no packages before an update, then provides the tools.
    Deno.mkdirSync(bin);
    Deno.writeTextFileSync(
      `${bin}/apt-get`,
      `#!/bin/sh
PATH=/usr/local/bin:/usr/bin:/bin
echo "$*" >> ${bin}/calls
case "$*" in
  --version) echo apt 1.0 ;;
  update) touch ${bin}/updated ;;
  install*)
    test -e ${bin}/updated || exit 100
    for tool in c++ cmake make as ld; do ln -sf "$(command -v $tool)" ${bin}/$tool; done ;;
esac
`,
      { mode: 0o755 },
    );
    const forbidden = await checkout.build({ PATH: bin });
    assertEquals(forbidden.code, 1);
    assertStringIncludes(forbidden.stderr, "sudo apt-get install -y g++ cmake make libdnnl-dev");
    const { code, stderr } = await checkout.build({ PATH: bin, REMOE_NO_INSTALL: "" });
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "Installing g++, cmake, make, libdnnl-dev with apt-get");
    assertStringIncludes(stderr, "Built ");
    const calls = Deno.readTextFileSync(`${bin}/calls`).split("\n")
      .filter((call) => call !== "" && call !== "--version");
    const install = "install -y --no-install-recommends g++ cmake make libdnnl-dev";
    assertEquals(calls, [install, "update", install]);
  },
});

Deno.test({
  name: "`ensureKernels()` needs no compiler for a library that is built",
  ignore: !canBuild,
  async fn() {
    using checkout = new Checkout();
    await checkout.build();
    assertEquals(await checkout.build({ PATH: "/nowhere" }), { code: 0, stderr: "" });
  },
});

Deno.test("`ensureKernels()` builds nothing if `REMOE_LIBRARY` names a library", async () => {
  using checkout = new Checkout();
  const result = await checkout.build({ REMOE_LIBRARY: "/some/library.so" });
  assertEquals(result, { code: 0, stderr: "" });
});
