/**
 * Disassembles the CUDA library and checks what its kernels consist of: `deno run -A
 * kernels/tools/machine_code.ts [--list | --write]`.
 *
 * `--list` prints the counts of each kernel as JSON lines, `--write` writes
 * `docs/gpu/machine_code.md`. Without nvcc or its disassembler, which it fetches from PyPI, the check
 * is skipped with a reason; that is not a failure.
 *
 * @module
 */

import { dirname } from "node:path";
import { buildCuda, TOOLCHAIN } from "./build_cuda.ts";
import { CompileError } from "./compile_cached.ts";
import { findDisassembler, findNvcc, type Missing, run } from "./cuda_toolchain.ts";
import { exitWith } from "./exit_with.ts";
import { type Checked, checkKernels } from "./machine_code/check.ts";
import { disassemble, type Kernel } from "./machine_code/disassemble.ts";
import { writePage } from "./machine_code/page.ts";

const PAGE = `${dirname(dirname(import.meta.dirname!))}/docs/gpu/machine_code.md`;

/** The library's kernels, as they should be or not. */
export interface CudaMachineCode extends Checked {
  /** Every kernel for every target. */
  readonly kernels: readonly Kernel[];
  /** The compiler and the disassembler. */
  readonly tools: string;
}

/**
 * Builds the CUDA library, disassembles its kernels and checks them.
 *
 * @param options Whether to fetch nvcc and its disassembler from PyPI; default true.
 * @returns The kernels and what is wrong with them, or why that is unknown.
 * @throws {CompileError} If the sources do not compile or an object cannot be disassembled.
 */
export async function checkMachineCode(
  options: { readonly install?: boolean } = {},
): Promise<CudaMachineCode | Missing> {
  const { install = true } = options;
  const built = await buildCuda({ install });
  if (built.kind === "skipped") return built;
  const nvcc = await findNvcc(TOOLCHAIN, false);
  if ("reason" in nvcc) return nvcc;
  const disassembler = await findDisassembler(TOOLCHAIN, install);
  if ("reason" in disassembler) return disassembler;
  const kernels = await disassemble(disassembler, built.objects);
  const tools = `${nvcc.version}, ${disassembler.version}`;
  return { ...checkKernels(kernels), kernels, tools };
}

async function main(args: readonly string[]): Promise<number> {
  const [option] = args;
  if (args.length > 1 || ![undefined, "--list", "--write"].includes(option)) {
    console.error(`No option "${args.join(" ")}": use --list or --write, or none`);
    return 2;
  }
  const start = performance.now();
  const result = await checkMachineCode();
  if ("reason" in result) {
    console.log(`machine code: skipped: ${result.reason}`);
    return 0;
  }
  const { kernels, groups, faults, tools } = result;
  if (option === "--list") { for (const kernel of kernels) console.log(JSON.stringify(kernel)); }
  if (option === "--write") {
    await Deno.writeTextFile(PAGE, writePage(groups, kernels.length, tools));
    await run(Deno.execPath(), ["fmt", PAGE]);
  }
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) return 1;
  const seconds = ((performance.now() - start) / 1e3).toFixed(1);
  if (option !== "--list") {
    console.log(`machine code: ${kernels.length} kernels are as expected, in ${seconds} s`);
  }
  return 0;
}

if (import.meta.main) await exitWith(main, CompileError);
