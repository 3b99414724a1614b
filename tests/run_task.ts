/** How a test task ends. @module */

import { BuildError } from "../kernels/tools/build.ts";

/** Runs a task and exits with its code; a failed build is reported without a stack trace. */
export async function runTask(task: () => Promise<number>): Promise<void> {
  try {
    Deno.exitCode = await task();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(error.message);
    Deno.exitCode = 1;
  }
}
