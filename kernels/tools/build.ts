/**
 * Builds the CPU kernels if their sources have changed: `deno run -A kernels/tools/build.ts`.
 *
 * For the tasks and commands of a checkout only; the library itself never compiles anything.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { libraryFileName } from "../../lib/ffi/find_library.ts";
import { availableCores } from "../../lib/machine.ts";
import { filesBelow, isThere, readIfThere, remove, replace } from "./build_files.ts";
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
import { cmake, runCmake, showProgress } from "./run_cmake.ts";

export { BuildError } from "./build_tools.ts";

/** Options for building the kernels. */
export interface BuildOptions {
  /** Receives progress, line by line; default standard error. */
  readonly report?: Report;
  /** Whether to build even if nothing has changed, default false. */
  readonly force?: boolean;
  /** Which build: the commands' own, or one for tests. */
  readonly variant?: VariantName;
}

/** Builds of the same sources, each in its own folder. */
const VARIANTS = {
  /** Used by the commands. */
  default: { folder: "build", options: [] },
  /** Without oneDNN, even if it is installed. */
  plain: { folder: "build/plain", options: ["-DREMOE_ONEDNN=OFF"] },
  /** Checked by AddressSanitizer and UndefinedBehaviorSanitizer. */
  sanitized: { folder: "build/sanitized", options: ["-DREMOE_SANITIZE=address,undefined"] },
  /**
   * Checked by ThreadSanitizer. Built with Clang, and without oneDNN, whose threads are not
   * instrumented.
   */
  threads: {
    folder: "build/threads",
    options: ["-DREMOE_SANITIZE=thread", "-DREMOE_ONEDNN=OFF"],
  },
} as const;

/** The name of a build. */
export type VariantName = keyof typeof VARIANTS;

const KERNELS = fileURLToPath(new URL("../", import.meta.url));

/** What a library was built from. */
interface Stamp {
  readonly sources: string;
  readonly compiler: string;
}

/**
 * Ensures that the CPU kernel library exists and is built from the current sources.
 *
 * If `REMOE_LIBRARY` names a library, that one is used and nothing is built.
 *
 * @param options Where progress goes, which build, and whether to build unconditionally.
 * @returns The path of the library.
 * @throws {BuildError} If tools are missing or the build fails.
 */
export async function ensureKernels(options: BuildOptions = {}): Promise<string> {
  const { report = writeLine, force = false, variant = "default" } = options;
  const named = Deno.env.get("REMOE_LIBRARY");
  if (named && variant === "default") return named;
  const build = new Build(variant, report);
  if (force || !build.isCurrent()) await build.runAlone(force);
  return build.library;
}

class Build {
  readonly library: string;
  readonly #folder: string;
  readonly #cmake: string;
  readonly #cmakeLock: string;
  /** Stamp next to the library that says what it was built from. */
  readonly #stamp: string;
  /** Present while compilers run: a file they leave behind may be incomplete. */
  readonly #unfinished: string;
  readonly #options: readonly string[];
  readonly #report: Report;

  constructor(variant: VariantName, report: Report) {
    const { folder, options } = VARIANTS[variant];
    this.#folder = KERNELS + folder;
    this.library = `${this.#folder}/${libraryFileName("cpu")}`;
    this.#cmake = `${this.#folder}/cmake-cpu`;
    this.#cmakeLock = `${this.#folder}/.cmake-lock`;
    this.#stamp = `${this.#folder}/cpu.stamp.json`;
    this.#unfinished = `${this.#cmake}/unfinished`;
    this.#options = options;
    this.#report = report;
  }

  /** Without a compiler, only the sources decide: a built library needs none. */
  isCurrent(): boolean {
    const stamp = readStamp(this.#stamp);
    return stamp !== undefined && isThere(this.library) && stamp.sources === hashSources() &&
      stamp.compiler === (compilerVersion() ?? stamp.compiler);
  }

  /** Builds, unless another process has done so in the meantime. */
  async runAlone(force: boolean): Promise<void> {
    Deno.mkdirSync(this.#folder, { recursive: true });
    // The lock ends with the process, so a killed build does not block the next one.
    using lock = Deno.openSync(`${this.#folder}/.lock`, { create: true, write: true });
    await lock.lock(true);
    if (force || !this.isCurrent()) await this.#run();
  }

  async #run(): Promise<void> {
    const report = this.#report;
    await ensureTools(report);
    const stamp: Stamp = { sources: hashSources(), compiler: compilerVersion() ?? "" };
    const start = performance.now();
    report("Building the CPU kernels (minutes on the first use, seconds afterwards)");
    const oneDnn = await this.#configure();
    const jobs = Deno.env.get("CMAKE_BUILD_PARALLEL_LEVEL") ?? String(availableCores());
    await this.#compile(["--target", "remoe_cpu", "--parallel", jobs]);
    this.#install(stamp);
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    report(`Built ${this.library} in ${seconds} s${oneDnn ? "" : ", without oneDNN"}`);
  }

  /** Configures with oneDNN if it can be had; returns whether it is used. */
  async #configure(): Promise<boolean> {
    await this.#discardForeignCache();
    const args = ["-S", KERNELS, "-B", this.#cmake, "-DCMAKE_BUILD_TYPE=Release"];
    args.push(...generatorOptions(), ...this.#options);
    if (this.#options.includes("-DREMOE_ONEDNN=OFF")) {
      await cmake(this.#cmakeLock, args);
      return false;
    }
    const withOneDnn = async (): Promise<boolean> => {
      const { success, output } = await runCmake(this.#cmakeLock, [...args, "-DREMOE_ONEDNN=ON"]);
      if (success) return true;
      if (output.includes("oneDNN was not found")) return false;
      throw new BuildError(`Cannot configure the kernels:\n${output}`);
    };
    if (await withOneDnn()) return true;
    if (await installOneDnn(this.#report) && await withOneDnn()) return true;
    this.#report(
      `oneDNN was not found: dense products will run at half the speed or less. ${advice()}`,
    );
    await cmake(this.#cmakeLock, [...args, "-DREMOE_ONEDNN=OFF"]);
    return false;
  }

  /**
   * CMake keeps the compiler and paths it first saw, and would use them forever; and make takes a
   * truncated object for a complete one.
   */
  async #discardForeignCache(): Promise<void> {
    const marker = `${this.#cmake}/configured-for.txt`;
    const key = `${KERNELS}\n${compilerCommand()}\n${compilerVersion()}`;
    if (readIfThere(marker) === key && !isThere(this.#unfinished)) return;
    // Waits for the compilers of a killed build to finish.
    await cmake(this.#cmakeLock, ["-E", "true"]);
    remove(this.#cmake);
    Deno.mkdirSync(this.#cmake, { recursive: true });
    replace(marker, (temporary) => Deno.writeTextFileSync(temporary, key));
  }

  async #compile(args: readonly string[]): Promise<void> {
    Deno.writeTextFileSync(this.#unfinished, "");
    try {
      await cmake(this.#cmakeLock, ["--build", this.#cmake, ...args], showProgress);
    } finally {
      remove(this.#unfinished);
    }
  }

  #install(stamp: Stamp): void {
    const built = `${this.#cmake}/${libraryFileName("cpu")}`;
    remove(this.#stamp);
    replace(this.library, (temporary) => Deno.copyFileSync(built, temporary));
    replace(this.#stamp, (temporary) => {
      Deno.writeTextFileSync(temporary, JSON.stringify(stamp));
    });
  }
}

/** Undefined if there is none or it cannot be read. */
function readStamp(path: string): Partial<Stamp> | undefined {
  try {
    return JSON.parse(readIfThere(path) ?? "") ?? undefined;
  } catch {
    return undefined;
  }
}

function compilerVersion(): string | undefined {
  return programVersion(compilerCommand());
}

/** Hashes the names and contents of everything the library is built from. */
function hashSources(): string {
  const files = [
    `${KERNELS}CMakeLists.txt`,
    ...filesBelow(`${KERNELS}include`),
    ...filesBelow(`${KERNELS}cpu`),
  ];
  const hash = createHash("sha256");
  for (const path of files.sort()) {
    hash.update(path.slice(KERNELS.length)).update("\0");
    hash.update(Deno.readFileSync(path)).update("\0");
  }
  return hash.digest("hex");
}

function writeLine(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}

function namedVariant(): VariantName {
  const name = Deno.args.find((argument) => !argument.startsWith("--")) ?? "default";
  if (name in VARIANTS) return name as VariantName;
  throw new BuildError(`Cannot build "${name}": there are ${Object.keys(VARIANTS).join(", ")}`);
}

if (import.meta.main) {
  try {
    await ensureKernels({ force: Deno.args.includes("--force"), variant: namedVariant() });
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    writeLine(error.message);
    Deno.exit(1);
  }
}
