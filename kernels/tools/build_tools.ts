/** Compiler, CMake and oneDNN: which are installed, and how to get them. @module */

/** A build cannot continue; the message says what to do. */
export class BuildError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "BuildError";
}

/** Receives one line of build progress. */
export type Report = (line: string) => void;

const PACKAGES = ["g++", "cmake", "make", "libdnnl-dev"];

/** The C++ compiler that CMake will use. */
export function compilerCommand(): string {
  return Deno.env.get("CXX") || "c++";
}

/**
 * Asks a program for its version.
 *
 * @param command The program.
 * @returns The first line of `--version`; undefined if there is no such program.
 */
export function programVersion(command: string): string | undefined {
  try {
    const { success, stdout } = new Deno.Command(command, {
      args: ["--version"],
      stdin: "null",
      stderr: "null",
    }).outputSync();
    return success ? new TextDecoder().decode(stdout).split("\n")[0] : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Ensures that a compiler and CMake are available, installing them if possible.
 *
 * @param report Told about an installation.
 * @throws {BuildError} If something is missing and cannot be installed; names the command to run.
 */
export async function ensureTools(report: Report): Promise<void> {
  const missing = missingTools();
  if (missing.length === 0) return;
  if (canInstall()) {
    report(`Installing ${PACKAGES.join(", ")} with apt-get (${missing.join(", ")} missing)`);
    // oneDNN is in Ubuntu's universe, which may be disabled; the kernels can do without it.
    if (!await aptInstall(PACKAGES)) await aptInstall(PACKAGES.slice(0, -1));
  }
  const still = missingTools();
  if (still.length === 0) return;
  throw new BuildError(`Cannot build the kernels: ${still.join(", ")} missing. ${advice()}`);
}

/**
 * Tries to install oneDNN if CMake did not find it.
 *
 * @param report Told about the installation.
 * @returns Whether it was installed.
 */
export async function installOneDnn(report: Report): Promise<boolean> {
  if (!canInstall()) return false;
  report("Installing libdnnl-dev with apt-get (oneDNN missing)");
  return await aptInstall(["libdnnl-dev"]);
}

/** How to install what is missing, as one command if the system is known. */
export function advice(): string {
  return isDebian()
    ? `Run: sudo apt-get install -y ${PACKAGES.join(" ")}`
    : "Install a C++20 compiler with OpenMP, CMake 3.20 or newer, and oneDNN";
}

/**
 * The options that choose CMake's generator: make, its default, or Ninja if only that is installed.
 *
 * @returns Arguments for configuring.
 */
export function generatorOptions(): string[] {
  return isThere("make") || !isThere("ninja") ? [] : ["-G", "Ninja"];
}

function missingTools(): string[] {
  const missing = [compilerCommand(), "cmake"].filter((command) => !isThere(command));
  return isThere("make") || isThere("ninja") ? missing : [...missing, "make"];
}

function isThere(command: string): boolean {
  return programVersion(command) !== undefined;
}

/** Only root can install, only on Debian and its derivatives, and not with REMOE_NO_INSTALL=1. */
function canInstall(): boolean {
  return Deno.uid() === 0 && isDebian() && Deno.env.get("REMOE_NO_INSTALL") !== "1";
}

function isDebian(): boolean {
  try {
    return Deno.statSync("/etc/debian_version").isFile &&
      programVersion("apt-get") !== undefined;
  } catch {
    return false;
  }
}

async function aptInstall(packages: readonly string[]): Promise<boolean> {
  const install = ["install", "-y", "--no-install-recommends", ...packages];
  // The package lists may be stale or, in a fresh container, missing.
  return await aptGet(install) || (await aptGet(["update"]) && await aptGet(install));
}

async function aptGet(args: string[]): Promise<boolean> {
  const { success } = await new Deno.Command("apt-get", {
    args,
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}
