/**
 * The compilers for the CUDA sources: g++ for the emulated builds, and nvcc and its disassembler from
 * the machine or from NVIDIA's wheels on PyPI.
 *
 * @module
 */

/** An available compiler. */
export interface Compiler {
  /** The command, or its path. */
  readonly command: string;
  /** Its version as printed, one line. */
  readonly version: string;
  /** Arguments needed in every call. */
  readonly arguments: readonly string[];
}

/** A compiler that is not available here. */
export interface Missing {
  /** The reason, as a clause. */
  readonly reason: string;
}

/** The major version whose `-Werror` gates and architectures the build is written for. */
const CUDA_MAJOR = 13;

/**
 * The wheels nvcc needs, by exact version and hash, so that only reviewed code is executed. No cccl
 * (CUB, Thrust), cuBLAS or profilers; the kernels use none of them.
 */
const WHEELS: readonly Wheel[] = [
  {
    name: "nvidia-cuda-nvcc",
    version: "13.0.88",
    sha256: {
      x86_64: "56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03",
      aarch64: "c7ff28f86a24effdc6c034fa15230c549a273e4771b10a7fec14996f8cf3307f",
    },
  },
  {
    name: "nvidia-cuda-crt",
    version: "13.0.88",
    sha256: {
      x86_64: "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4",
      aarch64: "ee2ea2a97073e02ee62bb27841f437332be2c248e3eac013df07997ada39c003",
    },
  },
  {
    name: "nvidia-nvvm",
    version: "13.0.88",
    sha256: {
      x86_64: "c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0",
      aarch64: "c4376a291d72d22a315d9d2f69bdae8f8cd83a627f75bad395cee49a0fe65dc1",
    },
  },
  {
    name: "nvidia-cuda-runtime",
    version: "13.0.96",
    sha256: {
      x86_64: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
      aarch64: "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55",
    },
  },
];

/** The wheels of the disassembler, of which there are none for 13.0; it reads what 13.0 compiled. */
const DISASSEMBLER_WHEELS: readonly Wheel[] = [
  {
    name: "nvidia-cuda-cuobjdump",
    version: "13.2.86",
    sha256: {
      x86_64: "d332c2ffe78e703ca0a3894be927f83124244e2acf0d792b8c12b4362d44d837",
      aarch64: "9a025b92d5faca837f69841317760df9b27f3871bfa089d80cc428399743fd56",
    },
  },
  {
    name: "nvidia-cuda-nvdisasm",
    version: "13.2.86",
    sha256: {
      x86_64: "53606e719ecae07a2335f95902d5a1393a0cc1c317499ee7ffcf628a44385f2c",
      aarch64: "d02c627f7aecfcac4dd5e923e94adeaa6607c5fdae8df750b01ad948d38941d3",
    },
  },
];

interface Wheel {
  readonly name: string;
  readonly version: string;
  readonly sha256: Readonly<Record<"x86_64" | "aarch64", string>>;
}

/**
 * Finds the C++ compiler of the emulated builds.
 *
 * @param arch The architecture to compile for. Default this machine's.
 * @returns g++, or why there is none.
 */
export async function findCppCompiler(
  arch: typeof Deno.build.arch = Deno.build.arch,
): Promise<Compiler | Missing> {
  if (Deno.build.os !== "linux") return { reason: "the emulator needs Linux" };
  const command = arch === Deno.build.arch ? "g++" : `${arch}-linux-gnu-g++`;
  const version = await firstLine(command, ["--version"]);
  if (version === undefined) return { reason: `${command} is not installed` };
  return { command, version, arguments: [] };
}

/**
 * Finds nvcc 13 on PATH or in `kernels/toolchain`, or, if requested, installs it there.
 *
 * @param toolchain The folder to install into.
 * @param install Whether to fetch the wheels from PyPI if there is no other nvcc.
 * @returns nvcc, or why there is none.
 */
export async function findNvcc(toolchain: string, install: boolean): Promise<Compiler | Missing> {
  if (Deno.build.os !== "linux") return { reason: "the CUDA library is built on Linux alone" };
  const onPath = await nvccAt("nvcc", []);
  if (!("reason" in onPath)) return onPath;
  const installed = await installedNvcc(toolchain);
  if (!("reason" in installed)) return installed;
  if (!install) return { reason: `${onPath.reason}, and ${installed.reason}` };
  const failure = await installWheels(WHEELS, toolchain);
  if (failure !== undefined) return { reason: `${onPath.reason}, and ${failure}` };
  return await installedNvcc(toolchain);
}

/**
 * Finds cuobjdump 13 and nvdisasm on PATH or in `kernels/toolchain`, or, if requested, installs them
 * there.
 *
 * @param toolchain The folder to install into, which nvcc may be in as well.
 * @param install Whether to fetch the wheels, of 5 MB, from PyPI if there is no other disassembler.
 * @returns cuobjdump, or why there is none.
 */
export async function findDisassembler(
  toolchain: string,
  install: boolean,
): Promise<Compiler | Missing> {
  const onPath = await cuobjdumpAt("cuobjdump");
  if (!("reason" in onPath)) return onPath;
  const folder = `${toolchain}/disassembler`;
  const command = `${folder}/nvidia/cu13/bin/cuobjdump`;
  const installed = await cuobjdumpAt(command);
  if (!("reason" in installed) || !install) return installed;
  const failure = await installWheels(DISASSEMBLER_WHEELS, folder);
  return failure === undefined ? await cuobjdumpAt(command) : { reason: failure };
}

async function cuobjdumpAt(command: string): Promise<Compiler | Missing> {
  const version = (await output(command, ["--version"]))?.match(/release (\d+)\.\d+, V(\S+)/);
  if (version === null || version === undefined || Number(version[1]) < CUDA_MAJOR) {
    return { reason: `there is no cuobjdump ${CUDA_MAJOR}, the disassembler` };
  }
  return { command, version: `cuobjdump ${version[2]}`, arguments: [] };
}

async function installedNvcc(toolchain: string): Promise<Compiler | Missing> {
  const root = `${toolchain}/nvidia/cu13`;
  const found = await nvccAt(`${root}/bin/nvcc`, ["-L", `${root}/lib`]);
  return "reason" in found ? { reason: "kernels/toolchain holds none" } : found;
}

async function nvccAt(command: string, args: readonly string[]): Promise<Compiler | Missing> {
  const text = await output(command, ["--version"]);
  const version = text?.match(/release (\d+)\.\d+, V(\S+)/);
  if (version === null || version === undefined) return { reason: "nvcc is not on PATH" };
  if (Number(version[1]) !== CUDA_MAJOR) {
    return { reason: `the nvcc on PATH is ${version[2]}, not ${CUDA_MAJOR}` };
  }
  return { command, version: `nvcc ${version[2]}`, arguments: args };
}

/**
 * Installs pinned wheels; returns the reason if that fails. They go into another folder first, since
 * the remains of a killed installation would be taken for a complete one.
 */
async function installWheels(
  wheels: readonly Wheel[],
  folder: string,
): Promise<string | undefined> {
  const requirements = wheels.map(({ name, version, sha256 }) =>
    `${name}==${version} --hash=sha256:${sha256[Deno.build.arch]}`
  );
  const list = await Deno.makeTempFile({ suffix: ".txt" });
  const fresh = `${folder}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    await Deno.writeTextFile(list, requirements.join("\n") + "\n");
    const { success, stderr } = await run("python3", [
      "-m",
      "pip",
      "install",
      ...["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"],
      ...["--target", fresh, "--requirement", list],
    ]);
    if (success) {
      await Deno.remove(folder, { recursive: true }).catch(() => {});
      await Deno.rename(fresh, folder);
      return undefined;
    }
    const lines = stderr.trim().split("\n");
    return `its wheels could not be installed: ${lines.at(-1) || "python3 is missing"}`;
  } finally {
    await Deno.remove(list);
    await Deno.remove(fresh, { recursive: true }).catch(() => {});
  }
}

/** The result of a command. */
export interface Finished {
  /** Whether it exited with status 0. */
  readonly success: boolean;
  /** Its standard output. */
  readonly stdout: string;
  /** Its standard error. */
  readonly stderr: string;
}

/**
 * Runs a command to completion.
 *
 * @param command The command, or its path.
 * @param args Its arguments.
 * @returns How it ended; a missing command counts as unsuccessful.
 */
export async function run(command: string, args: readonly string[]): Promise<Finished> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(command, {
      args: [...args],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    const decoder = new TextDecoder();
    return { success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { success: false, stdout: "", stderr: "" };
  }
}

async function output(command: string, args: readonly string[]): Promise<string | undefined> {
  const { success, stdout } = await run(command, args);
  return success ? stdout : undefined;
}

async function firstLine(command: string, args: readonly string[]): Promise<string | undefined> {
  return (await output(command, args))?.split("\n")[0];
}
