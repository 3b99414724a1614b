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

/** A virtual environment, and what is installed in it. */
interface Environment {
  readonly folder: string;
  readonly requirements: string;
}

const PYTORCH: Environment = {
  folder: pathOf("./.venv"),
  requirements: pathOf("./requirements.txt"),
};

const HARNESS: Environment = {
  folder: pathOf("./.venv-harness"),
  requirements: pathOf("./requirements-harness.txt"),
};

/** The interpreter, once {@linkcode ensurePython} has installed it. */
export const PYTHON: string = interpreterOf(PYTORCH);

/**
 * How threads wait for each other, in PyTorch as in remoe (`cli/shared/openmp.ts` says why): they
 * go to sleep soon, so that they do not burn cores that other processes share.
 */
export const WAITING: Readonly<Record<string, string>> = {
  GOMP_SPINCOUNT: Deno.env.get("GOMP_SPINCOUNT") ?? "30000",
};

/**
 * Installs PyTorch unless it is there. PyPI's build for Linux brings CUDA's libraries along, so the
 * first time takes some minutes and five gigabytes of disk.
 *
 * @param say Called before anything is downloaded.
 */
export async function ensurePython(say: (text: string) => void): Promise<void> {
  await ensure(
    PYTORCH,
    () => say("Installing PyTorch into bench/peers/.venv: some minutes, about 5 GB"),
  );
}

/**
 * Installs lm-evaluation-harness unless it is there, which brings PyTorch along.
 *
 * @param say Called before anything is downloaded.
 */
export async function ensureHarness(say: (text: string) => void): Promise<void> {
  const text = "Installing lm-evaluation-harness into bench/peers/.venv-harness: some minutes, " +
    "about 6 GB";
  await ensure(HARNESS, () => say(text));
}

/** Installs what an environment requires, unless a copy of the requirements says that it has. */
async function ensure(
  { folder, requirements }: Environment,
  onInstall: () => void,
): Promise<void> {
  const wanted = Deno.readTextFileSync(requirements);
  const installed = `${folder}/installed.txt`;
  if (readIfThere(installed) === wanted) return;
  onInstall();
  const python = interpreterOf({ folder, requirements });
  await run("python3", ["-m", "venv", "--clear", folder]);
  const install = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-r"];
  await run(python, [...install, requirements]);
  Deno.writeTextFileSync(installed, wanted);
}

/** PyTorch and its version, as pinned in the requirements. */
export function peerVersion(): string {
  return Deno.readTextFileSync(PYTORCH.requirements).match(/^torch==.*$/m)?.[0] ?? "torch";
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

/**
 * Runs Python with the harness installed, without its asking the hub for anything.
 *
 * @param args The arguments.
 * @param cwd The folder to run in, which also takes its caches.
 * @returns What it wrote to standard output.
 */
export async function runHarness(args: readonly string[], cwd: string): Promise<string> {
  const offline = { HF_HUB_OFFLINE: "1", HF_DATASETS_OFFLINE: "1", HF_HOME: `${cwd}/cache` };
  const env = { ...WAITING, ...offline, TOKENIZERS_PARALLELISM: "false" };
  return await run(interpreterOf(HARNESS), args, { env, cwd });
}

async function run(
  command: string,
  args: readonly string[],
  options: Deno.CommandOptions = { env: WAITING },
): Promise<string> {
  const process = new Deno.Command(command, { ...options, args: [...args], stderr: "inherit" });
  const { success, code, stdout } = await process.output();
  if (!success) throw new Error(`${command} ${args.join(" ")} ended with code ${code}`);
  return new TextDecoder().decode(stdout);
}

function interpreterOf({ folder }: Environment): string {
  return `${folder}/bin/python`;
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
