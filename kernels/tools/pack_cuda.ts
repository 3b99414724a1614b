/**
 * Packs the tests of the CUDA library for a machine with a GPU but neither network nor Deno: `deno
 * run -A kernels/tools/pack_cuda.ts [--emulated] [--run [OPTIONS]]`.
 *
 * The archive contains the library, Deno, the case list as one file, and the scripts of
 * `tests/cuda/pack`. `--emulated` packs the emulated library instead, to try the pack without a
 * GPU. `--run` runs the pack here with the options of its `run.sh`, and writes the log to
 * `docs/gpu`.
 *
 * @module
 */

import { dirname } from "node:path";
import { buildCuda, buildEmulated } from "./build_cuda.ts";
import { CompileError } from "./compile_cached.ts";
import { run } from "./cuda_toolchain.ts";
import { SYMBOLS } from "../../lib/ffi/symbols.ts";
import configuration from "../../deno.json" with { type: "json" };

const KERNELS = dirname(import.meta.dirname!);
const BUILD = `${KERNELS}/build`;
const SCRIPTS = `${KERNELS}/../tests/cuda/pack`;

/** The folder in the archive. */
const NAME = "remoe-gpu";

/** A pack could not be made; the message says why. */
export class PackError extends Error {
  /** Always `PackError`. */
  override readonly name = "PackError";
}

/** The contents of a pack. */
export interface PackContent {
  /** The kernel library. */
  readonly library: string;
  /** The library's backend: the emulated one gets shapes that a CPU can run. */
  readonly backend: "cuda" | "emulated";
  /** Whether Deno is compressed: slow to pack the first time, but small enough to carry. */
  readonly compress: boolean;
}

/**
 * Writes the files of a pack.
 *
 * @param folder The folder to create and write to.
 * @param content The contents.
 * @throws {PackError} If the case list cannot be bundled or Deno cannot be compressed.
 */
export async function writePack(folder: string, content: PackContent): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for await (const { name } of Deno.readDir(SCRIPTS)) {
    if (/\.(py|sh)$/.test(name)) await Deno.copyFile(`${SCRIPTS}/${name}`, `${folder}/${name}`);
  }
  await Deno.copyFile(content.library, `${folder}/libremoe.so`);
  await Deno.writeTextFile(`${folder}/symbols.json`, JSON.stringify(SYMBOLS));
  const entry = `${SCRIPTS}/run_cases.ts`;
  await must(Deno.execPath(), [
    ...["bundle", "--quiet", "--platform", "deno", "--config", `${KERNELS}/../deno.json`],
    ...["-o", `${folder}/cases.js`, entry],
  ]);
  if (content.compress) await Deno.copyFile(await compressedDeno(), `${folder}/deno.xz`);
  else await Deno.copyFile(Deno.execPath(), `${folder}/deno`);
  const { stdout: commit } = await run("git", ["-C", KERNELS, "describe", "--always", "--dirty"]);
  const facts = {
    backend: content.backend,
    version: configuration.version,
    commit: commit.trim() || "unknown",
    deno: Deno.version.deno,
  };
  await Deno.writeTextFile(`${folder}/pack.json`, JSON.stringify(facts) + "\n");
}

/** The running Deno, compressed once per version and platform. */
async function compressedDeno(): Promise<string> {
  const path = `${BUILD}/deno-${Deno.version.deno}-${Deno.build.target}.xz`;
  if (await Deno.stat(path).then(() => true, () => false)) return path;
  const work = await Deno.makeTempDir({ dir: BUILD, prefix: "deno-xz-" });
  try {
    await Deno.copyFile(Deno.execPath(), `${work}/deno`);
    await must("xz", ["-9e", `${work}/deno`]);
    await Deno.rename(`${work}/deno.xz`, path);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  return path;
}

async function must(command: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await run(command, args);
  if (!success) throw new PackError(`${command} ${args.join(" ")} failed: ${stderr || "missing"}`);
}

async function builtLibrary(emulated: boolean): Promise<string> {
  const built = emulated ? await buildEmulated() : await buildCuda();
  if (built.kind === "skipped") throw new PackError(`There is no library: ${built.reason}`);
  return built.path;
}

/** Makes the archive; returns its path. */
async function pack(emulated: boolean): Promise<string> {
  const library = await builtLibrary(emulated);
  const backend = emulated ? "emulated" : "cuda";
  const work = await Deno.makeTempDir({ dir: BUILD, prefix: "pack-" });
  try {
    await writePack(`${work}/${NAME}`, { library, backend, compress: true });
    const path = `${BUILD}/${NAME}-${backend}.tar`;
    await must("tar", ["-C", work, "-cf", path, NAME]);
    return path;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** Runs the pack in its own folder; returns the exit code. */
async function runHere(emulated: boolean, options: readonly string[]): Promise<number> {
  const library = await builtLibrary(emulated);
  const work = await Deno.makeTempDir({ prefix: "remoe_pack" });
  try {
    await writePack(work, { library, backend: emulated ? "emulated" : "cuda", compress: false });
    // If the log folder is given twice, the last one wins.
    const args = [`${work}/run.sh`, "--out", `${KERNELS}/../docs/gpu`, ...options];
    return (await new Deno.Command("sh", { args }).spawn().status).code;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

async function main(args: readonly string[]): Promise<number> {
  const emulated = args.includes("--emulated");
  const options = args.filter((it) => it !== "--emulated" && it !== "--run");
  if (args.includes("--run")) return await runHere(emulated, options);
  if (options.length > 0) {
    console.error("Usage: pack_cuda.ts [--emulated] [--run [OPTIONS of run.sh]]");
    return 2;
  }
  const path = await pack(emulated);
  const { size } = await Deno.stat(path);
  console.log(`packed ${path}, ${(size / 2 ** 20).toFixed(1)} MiB`);
  return 0;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!(error instanceof PackError || error instanceof CompileError)) throw error;
    console.error(error.message);
    Deno.exit(1);
  }
}
