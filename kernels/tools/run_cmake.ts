/** Runs CMake, one process at a time per folder. @module */

import { BuildError, programVersion } from "./build_tools.ts";

/** The result of a program. */
export interface Finished {
  /** Whether it exited with status 0. */
  readonly success: boolean;
  /** Its standard output and error, without progress lines. */
  readonly output: string;
}

/**
 * Runs CMake once no other run holds the lock. All its children hold the lock, too: a compiler that
 * outlives its killed builder would otherwise write the objects that the next build reads.
 *
 * @param lock A file; created if missing.
 * @param args The arguments.
 * @param onLine Receives the output, line by line.
 * @returns The result.
 */
export async function runCmake(
  lock: string,
  args: readonly string[],
  onLine: (line: string) => void = () => {},
): Promise<Finished> {
  // Without flock, as on macOS, killed builds are not waited for.
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
 * Runs CMake, whose output matters only if it fails.
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

/** How make and Ninja begin their progress lines. */
const PROGRESS = /^\[ *(?:(\d+)%|(\d+)\/(\d+))\]/;

/**
 * Shows build progress on one line that is redrawn; nothing is written to a log.
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
