/**
 * The Python that PyTorch runs in: a virtual environment beside this file, made on first use.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

/** Folder of the Python programs. */
export const PROGRAMS: string = pathOf("./pytorch");

/** Folder for what the comparisons write; nothing in it is worth keeping. */
export const WORK: string = pathOf("./.work");

const ENVIRONMENT = pathOf("./.venv");

/** The interpreter, once {@linkcode ensurePython} has installed it. */
export const PYTHON: string = `${ENVIRONMENT}/bin/python`;

const REQUIREMENTS = pathOf("./requirements.txt");

/**
 * How threads wait for each other, in PyTorch as in remoe (`cli/shared/openmp.ts` says why): they
 * go to sleep soon, so that they do not burn cores that other processes share.
 */
export const WAITING: Readonly<Record<string, string>> = {
  GOMP_SPINCOUNT: Deno.env.get("GOMP_SPINCOUNT") ?? "30000",
};

/** A copy of the installed requirements, written last. */
const INSTALLED = `${ENVIRONMENT}/installed.txt`;

/**
 * Installs PyTorch unless it is there. PyPI's build for Linux brings CUDA's libraries along, so the
 * first time takes some minutes and five gigabytes of disk.
 *
 * @param say Called before anything is downloaded.
 */
export async function ensurePython(say: (text: string) => void): Promise<void> {
  const wanted = Deno.readTextFileSync(REQUIREMENTS);
  if (readIfThere(INSTALLED) === wanted) return;
  say("Installing PyTorch into bench/peers/.venv: some minutes, about 5 GB");
  await run("python3", ["-m", "venv", "--clear", ENVIRONMENT]);
  const install = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-r"];
  await run(PYTHON, [...install, REQUIREMENTS]);
  Deno.writeTextFileSync(INSTALLED, wanted);
}

/** PyTorch and its version, as pinned in the requirements. */
export function peerVersion(): string {
  return Deno.readTextFileSync(REQUIREMENTS).match(/^torch==.*$/m)?.[0] ?? "torch";
}

/**
 * Runs a program of {@linkcode PROGRAMS} to completion; its errors go to standard error.
 *
 * @param name The program's file.
 * @param args Its arguments.
 * @returns What it wrote to standard output.
 */
export async function runProgram(
  name: string,
  args: readonly string[],
): Promise<string> {
  return await run(PYTHON, [`${PROGRAMS}/${name}`, ...args]);
}

async function run(command: string, args: readonly string[]): Promise<string> {
  const process = new Deno.Command(command, { args: [...args], env: WAITING, stderr: "inherit" });
  const { success, code, stdout } = await process.output();
  if (!success) throw new Error(`${command} ${args.join(" ")} ended with code ${code}`);
  return new TextDecoder().decode(stdout);
}

function readIfThere(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function pathOf(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}
