/** Runs commands in this process and checks how they refuse their input. @module */

import { assert, assertEquals } from "@std/assert";
import { generateCommand } from "../../cli/generate/command.ts";
import { serveCommand } from "../../cli/serve/command.ts";
import type { Output } from "../../cli/shared/output.ts";
import { trainCommand } from "../../cli/train/command.ts";
import { train } from "../../lib/train/train.ts";
import { CapturedOutput } from "./captured_output.ts";

/** The outcome of a command. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The smallest run with every part. */
const TINY = [
  "--preset=pico",
  "--batch=4",
  "--sequence=32",
  "--set=validation.batches=1",
  "--set=sample.tokens=2",
  "--steps=3",
];

/** Runs `train` on a tiny model; relative paths start from `folder`. */
export function runTrain(folder: string, args: readonly string[]): Promise<Finished> {
  const given = args.includes("--resume") ? args : [...TINY, ...args];
  const cache = args.includes("--resume") ? [] : [`--set=data.cache=${folder}.cache`];
  return captured(
    folder,
    (output) => trainCommand([...given, ...cache], output, () => Promise.resolve(train)),
  );
}

/** Runs `generate`. */
export function runGenerate(folder: string, args: readonly string[]): Promise<Finished> {
  const input = { isTerminal: true, read: () => Promise.resolve(new Uint8Array()) };
  return captured(folder, (output) => generateCommand(args, output, input));
}

/** Runs `serve` with a command line that it refuses. */
export function runServe(folder: string, args: readonly string[]): Promise<Finished> {
  return captured(folder, (output) => serveCommand(args, output));
}

async function captured(
  folder: string,
  run: (output: Output) => Promise<number>,
): Promise<Finished> {
  const output = new CapturedOutput();
  const before = Deno.env.get("INIT_CWD");
  Deno.env.set("INIT_CWD", folder);
  try {
    const code = await run(output);
    return { code, stdout: output.stdout, stderr: output.stderr };
  } finally {
    if (before === undefined) Deno.env.delete("INIT_CWD");
    else Deno.env.set("INIT_CWD", before);
  }
}

/**
 * Checks that a command exited with code 1, no output, and one message that contains all words.
 *
 * @returns The message.
 */
export function assertRefused({ code, stdout, stderr }: Finished, ...words: string[]): string {
  assertEquals([code, stdout], [1, ""], stderr);
  const at = stderr.lastIndexOf("error: ");
  assert(at === 0 || stderr[at - 1] === "\n", `no error in\n${stderr}`);
  const message = stderr.slice(at);
  assertEquals(message.trimEnd().split("\n").length, 1, message);
  assert(!/^ +at /m.test(stderr), `a stack is not for users:\n${stderr}`);
  for (const word of words) assert(message.includes(word), `${message}lacks\n${word}`);
  return message;
}

/** Everything below a folder by path, with the bytes of files: shows whether anything changed. */
export function snapshot(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, isDirectory, isSymlink } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    if (isSymlink) {
      found.set(name, Deno.readLinkSync(path));
      continue;
    }
    if (!isDirectory) {
      // Latin-1 preserves every byte; the lock's holder is not saved state.
      const bytes = name === ".lock" ? new Uint8Array() : Deno.readFileSync(path);
      found.set(name, new TextDecoder("latin1").decode(bytes));
      continue;
    }
    found.set(`${name}/`, "");
    for (const [below, text] of snapshot(path)) found.set(`${name}/${below}`, text);
  }
  return found;
}

/** Writes a text of a few documents and returns its folder. */
export function writeText(folder: string): string {
  const path = `${folder}/text`;
  Deno.mkdirSync(path);
  for (let document = 0; document < 12; document++) {
    Deno.writeTextFileSync(`${path}/${document}.txt`, `Line of document ${document}. `.repeat(40));
  }
  return path;
}
