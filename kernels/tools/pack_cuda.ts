/**
 * Packs the tests of the CUDA library for a machine with a GPU but neither network nor Deno: `deno
 * run -A kernels/tools/pack_cuda.ts [--emulated | --sources] [--run [OPTIONS]]`.
 *
 * The archive contains the library, Deno, the case list and the commands as one file each, a text,
 * the scripts of `tests/cuda/pack`, PyTorch's model of `bench/peers`, and a CPU library to train
 * beside. `--emulated` packs the emulated library instead, to try the pack without a GPU. `--run`
 * runs the pack here with the options of its `run.sh`, and writes the log to `docs/gpu`.
 *
 * @module
 */

import { dirname } from "node:path";
import { BuildError, ensureKernels } from "./build.ts";
import { buildCuda, buildEmulated, NVCC_FLAGS } from "./build_cuda.ts";
import { CompileError } from "./compile_cached.ts";
import { run } from "./cuda_toolchain.ts";
import { exitWith } from "./exit_with.ts";
import { bundledText } from "../../lib/data/text/bundled_text.ts";
import { SYMBOLS } from "../../lib/ffi/symbols.ts";
import { formulaFlops, parseConfig } from "../../lib/train/mod.ts";
import configuration from "../../deno.json" with { type: "json" };

const KERNELS = dirname(import.meta.dirname!);
const BUILD = `${KERNELS}/build`;
const ROOT = dirname(KERNELS);
const SCRIPTS = `${ROOT}/tests/cuda/pack`;
const PEER = `${ROOT}/bench/peers/pytorch`;

/** Programs by the name of their bundle. */
const PROGRAMS = {
  cases: `${SCRIPTS}/run_cases.ts`,
  train: `${ROOT}/cli/train.ts`,
  generate: `${ROOT}/cli/generate.ts`,
  doctor: `${ROOT}/cli/doctor.ts`,
  steps: `${SCRIPTS}/run_steps.ts`,
};

/** The folder in the archive. */
const NAME = "remoe-gpu";

/** A pack could not be made; the message says why. */
export class PackError extends Error {
  /** Always `PackError`. */
  override readonly name = "PackError";
}

/** The contents of a pack. */
export interface PackContent {
  /** The kernel library; null: its sources, to be compiled on the other machine. */
  readonly library: string | null;
  /** The library's backend: the emulated one gets shapes that a CPU can run. */
  readonly backend: "cuda" | "emulated";
  /** A CPU library to train beside; null: none. */
  readonly cpu: string | null;
  /** Whether Deno and the libraries are compressed: slow to pack, but small enough to carry. */
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
  await Deno.mkdir(`${folder}/peer`, { recursive: true });
  await copyScripts(SCRIPTS, folder);
  await copyScripts(PEER, `${folder}/peer`);
  await copyScripts(`${PEER}/routers`, `${folder}/peer/routers`);
  const copy = content.compress ? compressTo : Deno.copyFile;
  if (content.library === null) await copySources(folder);
  else await copy(content.library, `${folder}/libremoe.so`);
  if (content.cpu !== null) await copy(content.cpu, `${folder}/libremoe_cpu.so`);
  await Deno.writeTextFile(`${folder}/symbols.json`, JSON.stringify(SYMBOLS));
  await writeText(`${folder}/text.jsonl.gz`);
  await Deno.writeTextFile(`${folder}/steps.json`, JSON.stringify(stepConfigs()));
  await copyOpenMp(content.cpu, folder);
  for (const [name, entry] of Object.entries(PROGRAMS)) {
    await must(Deno.execPath(), [
      ...["bundle", "--quiet", "--platform", "deno", "--config", `${ROOT}/deno.json`],
      ...["-o", `${folder}/${name}.js`, entry],
    ]);
  }
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

/** Copies a folder's scripts. */
async function copyScripts(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) {
    if (/\.(py|sh)$/.test(name)) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

/** Copies GCC's OpenMP library, which a CPU library needs and a machine may lack. */
async function copyOpenMp(cpu: string | null, folder: string): Promise<void> {
  if (cpu === null) return;
  const { stdout } = await run("g++", ["-print-file-name=libgomp.so.1"]);
  const path = stdout.trim();
  if (path.startsWith("/")) await Deno.copyFile(path, `${folder}/libgomp.so.1`);
}

/** Copies what nvcc needs to compile the library. */
async function copySources(folder: string): Promise<void> {
  await Deno.mkdir(`${folder}/kernels`, { recursive: true });
  await must("cp", ["-r", `${KERNELS}/cuda`, `${KERNELS}/include`, `${folder}/kernels`]);
  await Deno.writeTextFile(`${folder}/flags.json`, JSON.stringify(NVCC_FLAGS));
}

/** Writes the bundled text, which otherwise comes from npm. */
async function writeText(path: string): Promise<void> {
  const lines: string[] = [];
  for await (const { text } of bundledText().documents()) lines.push(JSON.stringify({ text }));
  const stream = new Blob([`${lines.join("\n")}\n`]).stream();
  await Deno.writeFile(path, stream.pipeThrough(new CompressionStream("gzip")));
}

/** The configurations of whole steps to time, by name, with the formula's FLOPs of a step. */
function stepConfigs(): Readonly<Record<string, unknown>> {
  const entries = Object.entries(STEPS).map(([name, step]) => {
    const { preset, moe = {}, batch = 16, micro_batch = 16, enough = 15 } = step;
    const config = parseConfig({
      preset,
      model: { dtype: "bf16", vocabulary: 51_200 },
      moe,
      // On bytes: GPT-2's tokenizer is far away.
      data: { tokenizer: "byte", batch, micro_batch },
    });
    const flops = formulaFlops(config.model, config.moe, config.data.sequence) * config.data.batch;
    return [name, { config, flops, enough }];
  });
  return Object.fromEntries(entries);
}

/** A step of one of the paper's models. */
interface PackedStep {
  /** The model. */
  readonly preset: "182m" | "469m" | "978m";
  readonly moe?: Readonly<Record<string, string | number>>;
  /** Sequences of 1024 tokens; 16 by default. */
  readonly batch?: number;
  readonly micro_batch?: number;
  /** Steps at the target sparsity to end after. */
  readonly enough?: number;
}

/** The steps by name. λ of a ReLU router starts near where it ends: gates close within seconds. */
const STEPS: Readonly<Record<string, PackedStep>> = {
  "182m topk": { preset: "182m", moe: { router: "topk" } },
  "182m relu": { preset: "182m", moe: { lambda0: 1e-4 }, enough: 150 },
  "182m topk, 64 sequences": { preset: "182m", moe: { router: "topk" }, batch: 64 },
  "182m topk E=32": { preset: "182m", moe: { router: "topk", experts: 32 } },
  "469m topk": { preset: "469m", moe: { router: "topk" } },
  "978m topk": { preset: "978m", moe: { router: "topk" }, micro_batch: 8 },
};

/** Writes a file with the ending `.xz`. */
async function compressTo(source: string, target: string): Promise<void> {
  await Deno.copyFile(source, target);
  await must("xz", ["-2", target]);
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

/** The CPU library that needs nothing installed; null if it cannot be built. */
async function plainCpuLibrary(): Promise<string | null> {
  try {
    return await ensureKernels({ variant: "plain" });
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(`packed without a CPU library: ${error.message}`);
    return null;
  }
}

/** What to pack. */
interface PackChoice {
  readonly emulated: boolean;
  readonly sources: boolean;
  /** A CPU library that is built already; null: none. */
  readonly cpu: string | null;
}

/** Makes the archive, if so with sources in place of the library; returns its path. */
async function pack({ emulated, sources, cpu: given }: PackChoice): Promise<string> {
  const library = sources ? null : await builtLibrary(emulated);
  const backend = emulated ? "emulated" : "cuda";
  const work = await Deno.makeTempDir({ dir: BUILD, prefix: "pack-" });
  try {
    const cpu = given ?? await plainCpuLibrary();
    await writePack(`${work}/${NAME}`, { library, backend, cpu, compress: true });
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
    const backend = emulated ? "emulated" : "cuda";
    await writePack(work, { library, backend, cpu: await plainCpuLibrary(), compress: false });
    // If the log folder is given twice, the last one wins.
    const args = [`${work}/run.sh`, "--out", `${KERNELS}/../docs/gpu`, ...options];
    return (await new Deno.Command("sh", { args }).spawn().status).code;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

async function main(args: readonly string[]): Promise<number> {
  const emulated = args.includes("--emulated");
  const sources = args.includes("--sources");
  const at = args.indexOf("--cpu");
  const cpu = at < 0 ? null : args[at + 1] ?? null;
  const known = ["--emulated", "--sources", "--run", "--cpu"];
  const options = args.filter((it, i) => !known.includes(it) && (at < 0 || i !== at + 1));
  if (args.includes("--run")) return await runHere(emulated, options);
  if (options.length > 0) {
    console.error(
      "Usage: pack_cuda.ts [--emulated | --sources] [--cpu LIBRARY] [--run [OPTIONS of run.sh]]",
    );
    return 2;
  }
  const path = await pack({ emulated, sources, cpu });
  const { size } = await Deno.stat(path);
  console.log(`packed ${path}, ${(size / 2 ** 20).toFixed(1)} MiB`);
  return 0;
}

if (import.meta.main) await exitWith(main, PackError, CompileError);
