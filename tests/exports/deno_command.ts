import { fileURLToPath } from "node:url";

/** The checkout's root folder, with a trailing slash. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** The outcome of a deno command. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs the current deno executable, without colours, prompts or the environment's kernel library.
 *
 * @param folder The working directory.
 * @param args Command and arguments.
 * @returns Exit code and output.
 */
export async function runDeno(folder: string, ...args: string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: folder,
    env: { NO_COLOR: "1", REMOE_LIBRARY: "" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
