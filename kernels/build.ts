/**
 * Builds the CPU kernels where their sources have changed: `deno run -A kernels/build.ts`.
 *
 * For the tasks and commands of a checkout only; the library itself never compiles anything.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { libraryFileName } from "../lib/ffi/find_library.ts";
import { availableCores } from "../lib/machine.ts";
import {
  advice,
  BuildError,
  compilerCommand,
  ensureTools,
  generatorOptions,
  installOneDnn,
  programVersion,
  type Report,
} from "./build_tools.ts";

export { BuildError } from "./build_tools.ts";

/** How the kernels are built. */
export interface BuildOptions {
  /** Receives the progress, line by line; default standard error. */
  readonly report?: Report;
  /** Whether to build even if nothing has changed, default false. */
  readonly force?: boolean;
}

const KERNELS = fileURLToPath(new URL(".", import.meta.url));
const BUILD = `${KERNELS}build`;
const CMAKE = `${BUILD}/cmake-cpu`;
const LIBRARY = `${BUILD}/${libraryFileName("cpu")}`;
/** Beside the library: what it was built from. */
const STAMP = `${BUILD}/cpu.stamp.json`;

interface Stamp {
  readonly sources: string;
  readonly compiler: string;
}

/**
 * Makes sure that the CPU kernel library is there and built from the sources as they are.
 *
 * Where `REMOE_LIBRARY` names a library, that one is used and nothing is built.
 *
 * @param options Where progress goes, and whether to build in any case.
 * @returns The path of the library.
 * @throws {BuildError} If tools are missing or the build fails.
 */
export async function ensureKernels(options: BuildOptions = {}): Promise<string> {
  const named = Deno.env.get("REMOE_LIBRARY");
  if (named) return named;
  const { report = writeLine, force = false } = options;
  if (!force && isCurrent()) return LIBRARY;
  Deno.mkdirSync(BUILD, { recursive: true });
  // The lock ends with the process, so that a killed build does not block the next one.
  using lock = Deno.openSync(`${BUILD}/.lock`, { create: true, write: true });
  await lock.lock(true);
  if (force || !isCurrent()) await build(report);
  return LIBRARY;
}

async function build(report: Report): Promise<void> {
  await ensureTools(report);
  const stamp: Stamp = { sources: hashSources(), compiler: compilerVersion() ?? "" };
  const start = performance.now();
  report("Building the CPU kernels (minutes on the first use, seconds afterwards)");
  const oneDnn = await configure(report);
  const jobs = Deno.env.get("CMAKE_BUILD_PARALLEL_LEVEL") ?? String(availableCores());
  await cmake(["--build", CMAKE, "--target", "remoe_cpu", "--parallel", jobs], showProgress);
  install(stamp);
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  report(`Built ${LIBRARY} in ${seconds} s${oneDnn ? "" : ", without oneDNN"}`);
}

/** Configures with oneDNN, or without where it cannot be had; returns which. */
async function configure(report: Report): Promise<boolean> {
  discardForeignCache();
  const args = ["-S", KERNELS, "-B", CMAKE, "-DCMAKE_BUILD_TYPE=Release", ...generatorOptions()];
  const withOneDnn = async (): Promise<boolean> => {
    const { success, output } = await run("cmake", [...args, "-DREMOE_ONEDNN=ON"]);
    if (success) return true;
    if (output.includes("oneDNN was not found")) return false;
    throw new BuildError(`Cannot configure the kernels:\n${output}`);
  };
  if (await withOneDnn()) return true;
  if (await installOneDnn(report) && await withOneDnn()) return true;
  report(`oneDNN was not found: dense products will run at half the speed or less. ${advice()}`);
  await cmake([...args, "-DREMOE_ONEDNN=OFF"]);
  return false;
}

/** CMake keeps the compiler and the paths it first saw, and would go on with them for ever. */
function discardForeignCache(): void {
  const marker = `${CMAKE}/configured-for.txt`;
  const key = `${KERNELS}\n${compilerCommand()}\n${compilerVersion()}`;
  if (readIfThere(marker) === key) return;
  remove(CMAKE);
  Deno.mkdirSync(CMAKE, { recursive: true });
  Deno.writeTextFileSync(marker, key);
}

/** Puts the library in its place in one step: another process may have the old one mapped. */
function install(stamp: Stamp): void {
  const temporary = `${LIBRARY}.${Deno.pid}`;
  Deno.copyFileSync(`${CMAKE}/${libraryFileName("cpu")}`, temporary);
  remove(STAMP);
  Deno.renameSync(temporary, LIBRARY);
  Deno.writeTextFileSync(STAMP, JSON.stringify(stamp));
}

/** Where the compiler is gone, the sources alone decide: a built library needs none. */
function isCurrent(): boolean {
  const text = readIfThere(STAMP);
  if (text === undefined || !isThere(LIBRARY)) return false;
  const stamp = JSON.parse(text) as Stamp;
  return stamp.sources === hashSources() &&
    stamp.compiler === (compilerVersion() ?? stamp.compiler);
}

function compilerVersion(): string | undefined {
  return programVersion(compilerCommand());
}

/** Hashes names and contents of everything that the library is built from. */
function hashSources(): string {
  const files = [
    `${KERNELS}CMakeLists.txt`,
    ...list(`${KERNELS}include`),
    ...list(`${KERNELS}cpu`),
  ];
  const hash = createHash("sha256");
  for (const path of files.sort()) {
    hash.update(path.slice(KERNELS.length)).update("\0");
    hash.update(Deno.readFileSync(path)).update("\0");
  }
  return hash.digest("hex");
}

function list(directory: string): string[] {
  return [...Deno.readDirSync(directory)].flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    return entry.isDirectory ? list(path) : [path];
  });
}

/** Runs CMake; its output is of interest only where it fails. */
async function cmake(args: string[], onLine?: (line: string) => void): Promise<void> {
  const { success, output } = await run("cmake", args, onLine);
  if (!success) throw new BuildError(`Cannot build the kernels: cmake failed\n${output}`);
}

/** Runs a program; gives its errors and its output, without the lines that tell progress. */
async function run(
  command: string,
  args: string[],
  onLine: (line: string) => void = () => {},
): Promise<{ success: boolean; output: string }> {
  const child = new Deno.Command(command, { args, stdin: "null", stdout: "piped", stderr: "piped" })
    .spawn();
  const errors = new Response(child.stderr).text();
  const lines: string[] = [];
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    parts.forEach(onLine);
    lines.push(...parts);
  }
  lines.push(rest, await errors);
  const { success } = await child.status;
  return { success, output: lines.filter((line) => !PROGRESS.test(line)).join("\n") };
}

/** How make and Ninja begin the lines on what they build. */
const PROGRESS = /^\[ *(?:(\d+)%|(\d+)\/(\d+))\]/;

/** Redraws one line; a log gets none of it. */
function showProgress(line: string): void {
  const match = PROGRESS.exec(line);
  if (match === null || !Deno.stderr.isTerminal()) return;
  const [, percent, done, all] = match;
  const share = percent ?? Math.round(100 * Number(done) / Number(all));
  Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${share} % of the kernels built\r`));
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

function remove(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function writeLine(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) {
  try {
    await ensureKernels({ force: Deno.args.includes("--force") });
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    writeLine(error.message);
    Deno.exit(1);
  }
}
