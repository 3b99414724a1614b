/** How a task of the tests ends. @module */

import { BuildError } from "../kernels/tools/build.ts";

/** Runs a task, whose number is the exit code; what cannot be built is said without a trace. */
export async function runTask(task: () => Promise<number>): Promise<void> {
  try {
    Deno.exitCode = await task();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(error.message);
    Deno.exitCode = 1;
  }
}
