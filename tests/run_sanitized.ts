/**
 * Runs tests with the CPU library checked by AddressSanitizer and UndefinedBehaviorSanitizer, its
 * memory pool guarded: `deno task test:sanitized`, followed by arguments of `deno test`.
 *
 * Needs GCC on Linux. A report ends the process and so fails the tests.
 *
 * @module
 */

import { BuildError, ensureKernels } from "../kernels/tools/build.ts";
import { runTask } from "./run_task.ts";

/** Tests that do not involve these kernels, or that measure the machine's time and memory. */
const LEFT_OUT = [
  "tests/cuda",
  "tests/docs",
  "tests/exports",
  "tests/kernels/agreement_test.ts",
  "tests/offline",
  "tests/train/kept_rows_test.ts",
  "tests/types",
];

/** The sanitizers' libraries, which must be loaded before the program's. */
function sanitizers(): string {
  return ["libasan.so", "libubsan.so"].map((name) => {
    const { stdout } = new Deno.Command("g++", { args: [`-print-file-name=${name}`] }).outputSync();
    const path = new TextDecoder().decode(stdout).trim();
    if (!path.startsWith("/")) throw new BuildError(`g++ has no ${name}: install GCC's sanitizers`);
    return path;
  }).join(" ");
}

async function run(args: readonly string[], env: Record<string, string>): Promise<number> {
  const { code } = await new Deno.Command(Deno.execPath(), { args: [...args], env }).spawn().status;
  return code;
}

/** Writes 8 bytes past the end of a block. */
const OVERFLOW = `
import { openKernels } from "./tests/kernels/open_library.ts";
const kernels = openKernels();
kernels.writeBytes(kernels.allocate(96), new Uint8Array(104));
`;

/** Without this, an unsanitized library would pass as one without faults. */
function isChecked(env: Record<string, string>): boolean {
  const { success, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", OVERFLOW],
    env,
  }).outputSync();
  return !success && new TextDecoder().decode(stderr).includes("AddressSanitizer");
}

async function main(): Promise<number> {
  const env = {
    REMOE_LIBRARY: await ensureKernels({ variant: "sanitized" }),
    REMOE_MEMORY_GUARD: "1",
    LD_PRELOAD: sanitizers(),
    // V8 handles its own signals, and what lives as long as the process is never freed.
    ASAN_OPTIONS: "detect_leaks=0:handle_segv=0:use_sigaltstack=0",
    UBSAN_OPTIONS: "print_stacktrace=1",
    GOMP_SPINCOUNT: "30000",
  };
  if (!isChecked(env)) {
    console.error("A write behind a block was not reported: the library is not checked");
    return 1;
  }
  const given = Deno.args.length > 0
    ? Deno.args
    : ["tests", "lib", `--ignore=${LEFT_OUT.join(",")}`];
  return await run(["test", "-A", "--no-check", ...given], env);
}

if (import.meta.main) await runTask(main);
