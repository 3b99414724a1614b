/** Runs `cli/train.ts` as a user does, in a temporary folder. @module */

import { fileURLToPath } from "node:url";

const TRAIN = fileURLToPath(new URL("../../cli/train.ts", import.meta.url));

/** The outcome of a finished command. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The smallest run with every part: two layers, a few hundred tokens per step. */
export const TINY = [
  "--preset",
  "pico",
  "--batch",
  "4",
  "--sequence",
  "32",
  "--set",
  "validation.batches=2",
  "--set",
  "sample.tokens=8",
];

/** Starts the command; its streams are piped. */
export function startTrain(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", TRAIN, ...args],
    cwd,
    env: { INIT_CWD: cwd, NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs the command to completion. */
export async function runTrain(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const { code, stdout, stderr } = await startTrain(args, cwd, env).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** A folder that is removed with the test. */
export class TestFolder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async make(): Promise<TestFolder> {
    return new TestFolder(await Deno.makeTempDir({ prefix: "remoe-" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** A text of a few documents with a structure that a model can learn. */
export async function writeText(folder: string): Promise<string> {
  const path = `${folder}/text`;
  await Deno.mkdir(path);
  for (let document = 0; document < 12; document++) {
    const lines = Array.from(
      { length: 60 },
      (_, line) =>
        `Line ${line} of document ${document}: ${"the quick brown fox ".repeat(line % 4)}`,
    );
    await Deno.writeTextFile(`${path}/${document}.txt`, lines.join("\n"));
  }
  return path;
}

/** The weights of a run's checkpoint, byte for byte. */
export function modelBytes(run: string, step: number): Promise<Uint8Array> {
  const name = `step-${String(step).padStart(6, "0")}`;
  return Deno.readFile(`${run}/checkpoints/${name}/model.safetensors`);
}
