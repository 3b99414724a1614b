/**
 * The project's main uses, as its docs write them, each in a clone without kernels, which it must
 * build first. Compiling takes minutes, so CMake is a script here that copies the library under
 * test.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ROOT } from "../exports/deno_command.ts";
import { CPU_LIBRARY } from "../kernels/open_library.ts";

/** `cmake --build FOLDER` puts the library there; every other call is a no-op. */
const CMAKE = `#!/bin/sh
if [ "$1" = --build ]; then cp "${CPU_LIBRARY}" "$2"/; fi
`;

/** A clone of the checkout in its current state, with stand-ins for CMake and the compiler. */
class Clone implements Disposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "remoe_clone" });
  readonly #tools = Deno.makeTempDirSync({ prefix: "remoe_tools" });

  constructor() {
    const listed = new Deno.Command("git", {
      args: ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
      cwd: ROOT,
    }).outputSync();
    for (const path of new TextDecoder().decode(listed.stdout).split("\0")) {
      if (path === "" || !isFile(ROOT + path)) continue;
      Deno.mkdirSync(`${this.folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      Deno.copyFileSync(ROOT + path, `${this.folder}/${path}`);
    }
    this.#tool("cmake", CMAKE);
    this.#tool("c++", "#!/bin/sh\necho no compiler\n");
  }

  #tool(name: string, script: string): void {
    Deno.writeTextFileSync(`${this.#tools}/${name}`, script, { mode: 0o755 });
  }

  /** Runs a command from the docs, which must succeed. */
  async tries(command: string, ...more: string[]): Promise<string> {
    const [, ...args] = command.split(" ");
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...args, ...more],
      cwd: this.folder,
      env: {
        // The folder that npx was called from, where runs would go.
        INIT_CWD: this.folder,
        NO_COLOR: "1",
        PATH: `${this.#tools}:${Deno.env.get("PATH")}`,
        REMOE_LIBRARY: "",
        REMOE_NO_INSTALL: "1",
      },
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    assertEquals(code, 0, decoder.decode(stderr) + decoder.decode(stdout));
    return decoder.decode(stdout) + decoder.decode(stderr);
  }

  withoutKernels(): this {
    Deno.removeSync(`${this.folder}/kernels/build`, { recursive: true });
    return this;
  }

  [Symbol.dispose](): void {
    for (const folder of [this.folder, this.#tools]) Deno.removeSync(folder, { recursive: true });
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.lstatSync(path).isFile;
  } catch {
    return false;
  }
}

Deno.test("the documented commands to train, import, bench and test work in a fresh clone", async () => {
  using clone = new Clone();
  assert(!isFile(`${clone.folder}/kernels/build/cpu.stamp.json`));

  const trained = await clone.tries("deno run -A cli/train.ts --preset pico --steps 2");
  assertStringIncludes(trained, "Building the CPU kernels");
  assertStringIncludes(trained, "Finished 2 steps");

  Deno.writeTextFileSync(
    `${clone.folder}/program.ts`,
    `import { Device } from "./mod.ts";
     using device = await Device.open();
     console.log(device.ones([2]));`,
  );
  const imported = await clone.tries("deno run -A program.ts");
  assertEquals(imported.trim(), "Tensor f32 [2] on cpu: [1, 1]");

  const timed = await clone.withoutKernels().tries(
    "deno bench -A -- --filter",
    "relu_router_gradient [4096,8] plain",
  );
  assertStringIncludes(timed, "Building the CPU kernels");
  assertStringIncludes(timed, "GFLOPS");

  const tested = await clone.withoutKernels().tries("deno test -A tests/tensor/display_test.ts");
  assertStringIncludes(tested, "Building the CPU kernels");
  assertStringIncludes(tested, "0 failed");
});
