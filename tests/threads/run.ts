/**
 * Looks for races between the kernels' threads: `deno task test:threads`. Records the calls of all
 * cases and replays them in a program under ThreadSanitizer. Through Archer, LLVM's OpenMP tells it
 * how regions and barriers order accesses.
 *
 * Needs Clang with its OpenMP (Debian: `clang libomp-dev`); `CLANG` names another `clang++`.
 *
 * @module
 */

import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { BuildError, ensureKernels } from "../../kernels/tools/build.ts";
import { isThere } from "../../kernels/tools/build_files.ts";
import { KERNEL_CASES } from "../../kernels/cases/mod.ts";
import { openKernels } from "../kernels/open_library.ts";
import { runTask } from "../run_task.ts";
import { recordCalls } from "./recorded_calls.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FOLDER = `${ROOT}kernels/build/threads`;
const PROGRAM = `${FOLDER}/replay`;
/** ThreadSanitizer's exit code, to distinguish a race from a failing call. */
const RACE = 66;

function run(command: string, args: readonly string[], env: Record<string, string> = {}): number {
  return new Deno.Command(command, {
    args: [...args],
    env,
    stdout: "inherit",
    stderr: "inherit",
  }).outputSync().code;
}

/** Records with the build that other tests use; the next build sets a different `CXX`. */
async function record(): Promise<void> {
  await ensureKernels();
  Deno.mkdirSync(FOLDER, { recursive: true });
  using kernels = openKernels();
  const { source, data } = recordCalls(kernels, KERNEL_CASES);
  Deno.writeTextFileSync(`${FOLDER}/recorded_calls.inc`, source);
  Deno.writeFileSync(`${FOLDER}/recorded_calls.bin`, data);
}

async function compile(): Promise<void> {
  const compiler = Deno.env.get("CLANG") || "clang++";
  Deno.env.set("CXX", compiler);
  const library = await ensureKernels({ variant: "threads" });
  const code = run(compiler, [
    ..."-std=c++20 -O0 -g1 -fopenmp=libomp -fsanitize=thread -Wno-unknown-pragmas".split(" "),
    `-I${ROOT}kernels/include`,
    `-I${FOLDER}`,
    `${ROOT}tests/threads/replay.cpp`,
    library,
    `-Wl,-rpath,${FOLDER}`,
    ...["-o", PROGRAM],
  ]);
  if (code !== 0) throw new BuildError("The program that makes the calls does not compile");
}

/** The path of Archer, next to the OpenMP library that the program loads. */
function archer(): string {
  const { stdout } = new Deno.Command("ldd", { args: [PROGRAM] }).outputSync();
  const path = /libomp\S* => (\S+)/.exec(new TextDecoder().decode(stdout))?.[1];
  const library = path && `${dirname(Deno.realPathSync(path))}/libarcher.so`;
  if (library && isThere(library)) return library;
  throw new BuildError("There is no libarcher.so: install LLVM's OpenMP (Debian: libomp-dev)");
}

function replay(threads: number, isa: string, mode: "replay" | "race"): number {
  // ThreadSanitizer's shadow memory may collide with randomised addresses.
  const args = ["-R", PROGRAM, `${FOLDER}/recorded_calls.bin`, String(threads), mode];
  return run("setarch", args, {
    OMP_TOOL_LIBRARIES: archer(),
    REMOE_ISA: isa,
    TSAN_OPTIONS: `ignore_noninstrumented_modules=1 exitcode=${RACE}`,
  });
}

async function main(): Promise<number> {
  await record();
  await compile();
  console.log("A race on purpose, which must be reported:");
  if (replay(4, "", "race") !== RACE) {
    console.error("The race was not reported: nothing is checked");
    return 1;
  }
  for (const isa of ["baseline", "avx2", "avx512", "avx512_bf16"]) {
    for (const threads of [2, 4, 7]) {
      const code = replay(threads, isa, "replay");
      console.log(`${isa}, ${threads} threads: ${code === 0 ? "no race" : `exit code ${code}`}`);
      if (code !== 0) return code;
    }
  }
  return 0;
}

if (import.meta.main) await runTask(main);
