/**
 * A process that trains one run of a comparison.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { type StoredRun, writeTrainConfig } from "../../lib/compare/stored_run.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { onPath, OpenFile } from "../../lib/files.ts";

/** How a run is started. */
export interface LaunchOptions {
  /** Settings that change no figures. */
  readonly over: Pick<TrainConfig, "threads" | "memory">;
  /** Whether the run resumes from its checkpoint. */
  readonly resumes: boolean;
  /** Stops the run after the step it is in. */
  readonly signal: AbortSignal;
}

/** How a process ended. */
export interface ChildOutcome {
  /** Whether it trained to the end. */
  readonly ok: boolean;
  /** Why it failed; empty if it did not. */
  readonly reason: string;
}

/** Starts a training process; tests supply their own. */
export type Launch = (run: StoredRun, options: LaunchOptions) => Promise<ChildOutcome>;

const TRAIN = fileURLToPath(new URL("../train.ts", import.meta.url));
/** Characters kept of a process's output, to find its error. */
const TAIL = 4000;

/**
 * Trains a run with `cli/train.ts` in its own process, which saves on SIGINT. Its output goes to
 * `log.txt` in the run's folder.
 *
 * @param run The run.
 * @param options How it is started.
 * @returns How it ended.
 */
export async function launchTrain(run: StoredRun, options: LaunchOptions): Promise<ChildOutcome> {
  const { over, resumes, signal } = options;
  const args = resumes
    ? ["--resume", run.directory, ...resumedSettings(over)]
    : ["--config", writeTrainConfig(run, over)];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", TRAIN, ...args],
    env: { NO_COLOR: "1", ...(run.isa === null ? {} : { REMOE_ISA: run.isa }) },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stop = (): void => {
    try {
      child.kill("SIGINT");
    } catch {
      // It has already ended.
    }
  };
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    const path = `${run.path}/log.txt`;
    using log = new OpenFile("write", path, { create: true, write: true, append: true });
    const [, tail, status] = await Promise.all([
      drain(child.stdout, log),
      drain(child.stderr, log),
      child.status,
    ]);
    if (status.success) return { ok: true, reason: "" };
    const signalled = status.signal === null ? "" : `ended by ${status.signal}, `;
    return { ok: false, reason: `${signalled}${lastWords(tail, status.code)}` };
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function resumedSettings({ threads, memory }: LaunchOptions["over"]): string[] {
  return [
    "--set",
    `threads=${threads}`,
    "--set",
    `memory.limit_gib=${memory.limit_gib}`,
    "--set",
    `memory.recompute=${memory.recompute}`,
  ];
}

/** Writes a stream to a file; returns the last {@linkcode TAIL} characters. */
async function drain(stream: ReadableStream<Uint8Array>, log: OpenFile): Promise<string> {
  const decoder = new TextDecoder();
  let tail = "";
  for await (const bytes of stream) {
    onPath("write", log.path, () => log.append(bytes));
    tail = (tail + decoder.decode(bytes, { stream: true })).slice(-TAIL);
  }
  return tail;
}

/** The error that a command's output ends with, or its last line. */
function lastWords(text: string, code: number): string {
  const error = text.lastIndexOf("error: ");
  const words = error >= 0
    ? text.slice(error + "error: ".length).trim()
    : text.trim().split("\n").at(-1) ?? "";
  return words === "" ? `exit code ${code}` : words;
}
