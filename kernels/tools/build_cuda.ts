/**
 * Builds the libraries of `kernels/cuda`: `deno run -A kernels/tools/build_cuda.ts [target ...]`.
 *
 * | target | library | needs |
 * | --- | --- | --- |
 * | `emulated` | `libremoe_emulated.so`: the CUDA sources, run on the CPU | g++ |
 * | `race` | `libremoe_emulated_race.so`: the same, with every kernel access checked | g++ |
 * | `counting` | `libremoe_emulated_counting.so`: the same, with them counted; not among `all` | g++ |
 * | `nvcc` | `libremoe_cuda.so`: for NVIDIA GPUs from compute capability 8.0 | nvcc 13 |
 * | `all` | the other three, the default | |
 *
 * A target whose compiler is missing is skipped with a reason; that is not a failure.
 *
 * @module
 */

import { dirname, relative } from "node:path";
import { buildLibrary, CompileError, type Library, type Unit } from "./compile_cached.ts";
import { type Compiler, findCppCompiler, findNvcc, type Missing } from "./cuda_toolchain.ts";
import { exitWith } from "./exit_with.ts";
import { IncludeGraph } from "./includes.ts";
import { oldGlibc } from "./old_glibc.ts";
import configuration from "../../deno.json" with { type: "json" };

const KERNELS = dirname(import.meta.dirname!);
const BUILD = `${KERNELS}/build`;
const CUDA = `${KERNELS}/cuda`;

/** The folder of nvcc if it was installed from PyPI. */
export const TOOLCHAIN = `${KERNELS}/toolchain`;

/** The outcome of building a target. */
export type BuildResult =
  | {
    readonly kind: "built";
    readonly path: string;
    readonly changed: boolean;
    /** Each source's path in the sources' folder, and its object. */
    readonly objects: readonly { readonly source: string; readonly object: string }[];
  }
  | { readonly kind: "skipped"; readonly reason: string };

/** Sources that replace files of `kernels/cuda`, to see whether a test catches a fault. */
export interface Mutant {
  /** Name of the library. */
  readonly name: string;
  /** Replacement text by path in `kernels/cuda`. */
  readonly files: Readonly<Record<string, string>>;
}

const COMMON = [
  ...["-std=c++20", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden"],
  ...["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"],
  `-DREMOE_VERSION="${configuration.version}"`,
  // Otherwise template statics would be merged across the libraries of a process.
  "-fno-gnu-unique",
];

const EMULATED_LINK = [
  ...["-Wl,-Bsymbolic", "-Wl,--no-undefined", "-static-libstdc++", "-static-libgcc", "-ldl"],
  `-Wl,--version-script=${KERNELS}/emulator/exports.map`,
];

// sm_90a code runs only on Hopper; the PTX for 8.0 serves later architectures.
const ARCHITECTURES = [
  ...["-gencode", "arch=compute_80,code=sm_80", "-gencode", "arch=compute_90a,code=sm_90a"],
  ...["-gencode", "arch=compute_80,code=compute_80", "-t", "2"],
];

// Hopper's own instructions exist there alone; the host launches such kernels only where they run.
// An array in local memory fails the build: it would be one of sums.
const HOPPER = [
  ...["-gencode", "arch=compute_90a,code=sm_90a", "-Xptxas", "-warn-lmem-usage"],
];

// Host-only sources contain no device code that needs several architectures.
const ONE_PASS = ["-gencode", "arch=compute_80,code=sm_80"];

// A warning, or a register spilled to memory, fails the build.
const NVCC = [
  ...["-std=c++20", "-O3", "-Werror", "all-warnings", "-Xptxas", "-warn-spills,-Werror"],
  ...["-Xcompiler", "-fPIC,-fvisibility=hidden,-Wall,-Wextra"],
  `-DREMOE_VERSION="${configuration.version}"`,
];

// ptxas only mentions that it makes products of tensor cores wait for each other, or for registers.
const SERIALISED = /\(C75(10|17)\)/;

// libgcc is the machine's: a static one would ask for glibc 2.35. Deno needs it as well.
const NVCC_LINK = [
  ...["--cudart", "static", "-Xcompiler", "-static-libstdc++"],
  ...["-Xlinker", `--version-script=${CUDA}/exports.map`],
];

/** nvcc's flags for all sources, and for linking; CUDA stands for the folder of the sources. */
export const NVCC_FLAGS = {
  compile: NVCC,
  link: NVCC_LINK.map((flag) => flag.replace(CUDA, "CUDA")),
};

/** How the sources are built for execution on the CPU. */
interface Variant {
  /** The library's name. */
  readonly library: string;
  /** Sources of the emulator that it leaves out. */
  readonly without: readonly string[];
  /** Flags of the sources with kernels. */
  readonly flags: readonly string[];
}

const PLAIN: Variant = {
  library: "libremoe_emulated",
  without: [
    ...["race_checker.cpp", "tsan_hooks.cpp", "ordering.cpp"],
    ...["counter.cpp", "counts.cpp", "warp_access.cpp"],
  ],
  flags: [],
};

const RACE: Variant = {
  library: "libremoe_emulated_race",
  without: [
    ...["no_checker.cpp", "no_ordering.cpp"],
    ...["counter.cpp", "counts.cpp", "warp_access.cpp"],
  ],
  flags: ["-fsanitize=thread"],
};

// An access of several elements stays whole, and one of the source stays one of the machine code.
const COUNTING: Variant = {
  library: "libremoe_emulated_counting",
  without: ["race_checker.cpp", "no_checker.cpp", "no_counter.cpp", "ordering.cpp"],
  flags: [
    ...["-fsanitize=thread", "-fno-tree-sra", "-fno-ipa-sra"],
    ...["-fno-thread-jumps", "-fno-tree-pre"],
  ],
};

/**
 * Builds the CUDA sources for execution on the CPU.
 *
 * @param options Whether accesses are checked or counted, the mutant to build, if any, the
 *   architecture of the machine to run on, which is this one by default, and which of the sources
 *   of `kernels/cuda` to build, if not all.
 * @returns The library, or why there is none.
 * @throws {CompileError} If the sources do not compile.
 */
export async function buildEmulated(
  options: {
    readonly race?: boolean;
    readonly counting?: boolean;
    readonly mutant?: Mutant;
    readonly arch?: typeof Deno.build.arch;
    readonly only?: (path: string) => boolean;
  } = {},
): Promise<BuildResult> {
  const { race = false, counting = false, mutant, only, arch = Deno.build.arch } = options;
  const compiler = await findCppCompiler(arch);
  if ("reason" in compiler) return skipped(compiler);
  const variant = counting ? COUNTING : race ? RACE : PLAIN;
  const suffix = arch === Deno.build.arch ? "" : `_${arch}`;
  const name = `${variant.library}${suffix}`;
  const units = [...await emulatorUnits(variant), ...await kernelUnits(variant, mutant, only)];
  const path = mutant === undefined
    ? `${BUILD}/${name}.so`
    : `${BUILD}/mutants/${mutant.name}/${name}.so`;
  return await build(compiler, { path, units, linkFlags: EMULATED_LINK }, "emulated");
}

/**
 * Builds the CUDA library.
 *
 * @param options Whether to fetch nvcc from PyPI if the machine has none; default true.
 * @returns The library, or why there is none.
 * @throws {CompileError} If the sources do not compile, warn, or spill registers.
 */
export async function buildCuda(
  options: { readonly install?: boolean } = {},
): Promise<BuildResult> {
  const compiler = await findNvcc(TOOLCHAIN, options.install ?? true);
  if ("reason" in compiler) return skipped(compiler);
  const graph = new IncludeGraph([CUDA]);
  const units = await Promise.all((await list(CUDA, ".cu")).map(async (source): Promise<Unit> => {
    const headers = await graph.headersOf(source);
    const flags = headers.includes(`${CUDA}/device/hopper.h`)
      ? HOPPER
      : await hasKernels(source, graph)
      ? ARCHITECTURES
      : ONE_PASS;
    return { source, headers, flags: ["-I", CUDA, ...flags, ...NVCC], refused: SERIALISED };
  }));
  const source = `${KERNELS}/glibc/newer_than_2_17.cpp`;
  units.push({ source, headers: [], flags: NVCC });
  const old = (await oldGlibc(`${BUILD}/glibc`)).join(",");
  const linkFlags = [...NVCC_LINK, "-Xlinker", `--no-as-needed,${old},--as-needed`];
  const library = { path: `${BUILD}/libremoe_cuda.so`, units, linkFlags };
  return await build(compiler, library, "nvcc");
}

async function build(compiler: Compiler, library: Library, kind: string): Promise<BuildResult> {
  const { changed, objects } = await buildLibrary(compiler, library, `${BUILD}/objects/${kind}`);
  const pairs = library.units.map(({ source }, i) => {
    return { source: relative(CUDA, source), object: objects[i]! };
  });
  return { kind: "built", path: library.path, changed, objects: pairs };
}

/** The emulator, with checker and counter or their stubs. */
async function emulatorUnits({ without }: Variant): Promise<Unit[]> {
  const graph = new IncludeGraph([]);
  const sources = (await list(`${KERNELS}/emulator`, ".cpp"))
    .filter((source) => !without.some((name) => source.endsWith(`/${name}`)));
  return await Promise.all(sources.map(async (source): Promise<Unit> => {
    return { source, headers: await graph.headersOf(source), flags: COMMON };
  }));
}

/** The CUDA sources; those with kernels are instrumented if accesses are checked or counted. */
async function kernelUnits(
  variant: Variant,
  mutant: Mutant | undefined,
  only: (path: string) => boolean = () => true,
): Promise<Unit[]> {
  const graph = new IncludeGraph([CUDA]);
  const sources = (await list(CUDA, ".cu")).filter((source) => only(source.slice(CUDA.length + 1)));
  const units = sources.map(async (source): Promise<Unit> => {
    const headers = await graph.headersOf(source);
    const own = await hasKernels(source, graph) ? variant.flags : [];
    const flags = [...COMMON, ...own, "-x", "c++"];
    const unit = { source, headers, flags: ["-I", CUDA, ...flags] };
    return mutant === undefined ? unit : await mutated(unit, mutant);
  });
  return await Promise.all(units);
}

/**
 * Writes a mutant's version of a source, with all that it includes from `kernels/cuda`, to a folder
 * of its own; a source that the mutant does not change stays where it is.
 */
async function mutated(unit: Unit, { name, files }: Mutant): Promise<Unit> {
  const parts = [unit.source, ...unit.headers].filter((file) => file.startsWith(`${CUDA}/`));
  if (!parts.some((file) => files[file.slice(CUDA.length + 1)] !== undefined)) return unit;
  // Two levels down, as kernels/cuda is: headers include ../../include and ../../emulator.
  const folder = `${BUILD}/mutants/${name}`;
  for (const link of ["include", "emulator"]) await linkTo(`${KERNELS}/${link}`, folder, link);
  for (const file of parts) {
    const path = file.slice(CUDA.length + 1);
    await Deno.mkdir(dirname(`${folder}/cuda/${path}`), { recursive: true });
    await writeOnce(`${folder}/cuda/${path}`, files[path] ?? await Deno.readTextFile(file));
  }
  const moved = (file: string): string =>
    file.startsWith(`${CUDA}/`) ? `${folder}/cuda/${file.slice(CUDA.length + 1)}` : file;
  return {
    source: moved(unit.source),
    headers: unit.headers.map(moved),
    // A mutant may include headers that the original does not.
    flags: ["-I", `${folder}/cuda`, ...unit.flags],
  };
}

async function linkTo(target: string, folder: string, name: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  try {
    await Deno.symlink(target, `${folder}/${name}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/** Whole or not at all: several sources write the headers that they share. */
async function writeOnce(path: string, text: string): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  await Deno.writeTextFile(temporary, text);
  await Deno.rename(temporary, path);
}

/** Whether a source or a header of it has kernels. */
async function hasKernels(source: string, graph: IncludeGraph): Promise<boolean> {
  const own = (await graph.headersOf(source)).filter((file) => file.startsWith(`${CUDA}/`));
  const texts = await Promise.all([source, ...own].map((file) => Deno.readTextFile(file)));
  return texts.some((text) => text.includes("__global__"));
}

/** The files of a folder and the folders in it. */
async function list(folder: string, ending: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isFile, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) names.push(...await list(`${folder}/${name}`, ending));
    else if (isFile && name.endsWith(ending)) names.push(`${folder}/${name}`);
  }
  return names.sort();
}

function skipped({ reason }: Missing): BuildResult {
  return { kind: "skipped", reason };
}

const TARGETS: Readonly<Record<string, () => Promise<BuildResult>>> = {
  emulated: () => buildEmulated(),
  race: () => buildEmulated({ race: true }),
  counting: () => buildEmulated({ counting: true }),
  nvcc: () => buildCuda(),
};

async function main(requested: readonly string[]): Promise<number> {
  const all = requested.length === 0 || requested.includes("all");
  const names = all ? ["emulated", "race", "nvcc"] : requested;
  for (const name of names) {
    const target = TARGETS[name];
    if (target === undefined) {
      console.error(`No target "${name}": use ${Object.keys(TARGETS).join(", ")} or all`);
      return 2;
    }
    const start = performance.now();
    const result = await target();
    const seconds = ((performance.now() - start) / 1e3).toFixed(1);
    if (result.kind === "skipped") console.log(`${name}: skipped: ${result.reason}`);
    else if (result.changed) console.log(`${name}: built ${result.path} in ${seconds} s`);
    else console.log(`${name}: ${result.path} is up to date`);
  }
  return 0;
}

if (import.meta.main) await exitWith(main, CompileError);
