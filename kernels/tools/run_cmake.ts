/** Running CMake, one at a time in a folder. @module */

import { BuildError, programVersion } from "./build_tools.ts";

/** What a program left. */
export interface Finished {
  /** Whether it ended with status 0. */
  readonly success: boolean;
  /** Its output and its errors, without the lines that tell progress. */
  readonly output: string;
}

/**
 * Runs CMake, once no other run holds the lock. All its children hold it, too: a compiler that goes
 * on when its builder was killed would write the objects that the next one reads.
 *
 * @param lock A file; made where it is missing.
 * @param args The arguments.
 * @param onLine Receives the output, line by line.
 * @returns What it left.
 */
export async function runCmake(
  lock: string,
  args: readonly string[],
  onLine: (line: string) => void = () => {},
): Promise<Finished> {
  // Where there is no flock, as on macOS, killed builders are not waited for.
  const [command = "", ...rest] = programVersion("flock") === undefined
    ? ["cmake", ...args]
    : ["flock", lock, "cmake", ...args];
  const child = new Deno.Command(command, {
    args: rest,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(child.stderr).text();
  const lines: string[] = [];
  let unfinished = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const parts = (unfinished + text).split("\n");
    unfinished = parts.pop() ?? "";
    parts.forEach(onLine);
    lines.push(...parts);
  }
  lines.push(unfinished, await errors);
  const { success } = await child.status;
  return { success, output: lines.filter((line) => !PROGRESS.test(line)).join("\n") };
}

/**
 * Runs CMake and gives nothing; its output is of interest only where it fails.
 *
 * @param lock As for {@linkcode runCmake}.
 * @param args The arguments.
 * @param onLine Receives the output, line by line.
 * @throws {BuildError} With the output, if it fails.
 */
export async function cmake(
  lock: string,
  args: readonly string[],
  onLine?: (line: string) => void,
): Promise<void> {
  const { success, output } = await runCmake(lock, args, onLine);
  if (!success) throw new BuildError(`Cannot build the kernels: cmake failed\n${output}`);
}

/** How make and Ninja begin the lines on what they build. */
const PROGRESS = /^\[ *(?:(\d+)%|(\d+)\/(\d+))\]/;

/**
 * Shows how far a build is, on one line that is redrawn; a log gets none of it.
 *
 * @param line A line of the build's output.
 */
export function showProgress(line: string): void {
  const match = PROGRESS.exec(line);
  if (match === null || !Deno.stderr.isTerminal()) return;
  const [, percent, done, all] = match;
  const share = percent ?? Math.round(100 * Number(done) / Number(all));
  Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${share} % of the kernels built\r`));
}
