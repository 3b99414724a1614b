/**
 * Runs the case list on the emulated CUDA library as compiled for aarch64, under QEMU:
 * `deno run -A tests/run_aarch64.ts DENO [SHARD/SHARDS]`, where `DENO` is Deno's program for aarch64,
 * as in `npm pack @deno/linux-arm64-glibc@2.9.6`.
 *
 * Needs g++ for aarch64 and QEMU (Debian: `apt-get install g++-aarch64-linux-gnu qemu-user-static`).
 * Without them nothing is run, with a reason; that is not a failure.
 *
 * @module
 */

import { buildEmulated } from "../kernels/tools/build_cuda.ts";
import { run } from "../kernels/tools/cuda_toolchain.ts";
import { runTask } from "./run_task.ts";

const QEMU = "qemu-aarch64-static";

/** Where Debian's cross compiler has the libraries of aarch64. */
const SYSTEM = "/usr/aarch64-linux-gnu";

async function main(): Promise<number> {
  const [deno, shard = "0/1"] = Deno.args;
  if (deno === undefined) {
    console.error("Name Deno's program for aarch64, as in npm's @deno/linux-arm64-glibc");
    return 2;
  }
  const built = await buildEmulated({ arch: "aarch64" });
  if (built.kind === "skipped") {
    console.log(`aarch64: skipped: ${built.reason}`);
    return 0;
  }
  if (!(await run(QEMU, ["--version"])).success) {
    console.log(`aarch64: skipped: ${QEMU} is not installed`);
    return 0;
  }
  const cases = ["run", "-A", "--no-check", "tests/cuda/pack/run_cases.ts", built.path, shard];
  const args = ["-L", SYSTEM, deno, ...cases];
  const { code } = await new Deno.Command(QEMU, { args }).spawn().status;
  return code;
}

await runTask(main);
