/** The machine and the software of a run. @module */

import { ROOT } from "./paths.ts";
import type { DevicePeak } from "../../lib/ffi/mod.ts";
import { versions } from "../../lib/run/versions.ts";
import type { DeviceInfo } from "../../mod.ts";

/** What times depend on in a machine. */
export interface Machine {
  /** The processor's or accelerator's name. */
  readonly name: string;
  /** `cpu`, `cuda` or `emulated`. */
  readonly backend: string;
  /** The instruction set or architecture chosen at run time. */
  readonly isa: string;
  /** Threads of the kernels. */
  readonly threads: number;
  /** Implementation of dense matrix products. */
  readonly gemm: string;
  /** Memory of the device in bytes. */
  readonly memory_bytes: number;
  /** Operating system. */
  readonly os: string;
  /** Load average over the minute before the run: above 0.5, the machine was not idle. */
  readonly load_average: number;
  /** Peak rate of fused multiply-adds from registers, in GFLOPS. */
  readonly peak_gflops: number;
  /** Bandwidth of a copy in memory, counting reads and writes, in GB/s. */
  readonly copy_gigabytes_per_second: number;
}

/**
 * Describes a machine.
 *
 * @param info What its device reports.
 * @param peak Its measured peaks.
 * @param load The load average as the run began.
 * @returns The description.
 */
export function describeMachine(info: DeviceInfo, peak: DevicePeak, load: number): Machine {
  const { name, backend, isa, threads, gemm, memoryBytes } = info;
  return {
    name,
    backend,
    isa,
    threads,
    gemm,
    memory_bytes: memoryBytes,
    os: `${Deno.build.os} ${Deno.build.arch}`,
    load_average: load,
    peak_gflops: peak.gflops,
    copy_gigabytes_per_second: peak.gigabytesPerSecond,
  };
}

/**
 * Names a machine, for use in a file name.
 *
 * @param machine The machine.
 * @returns Like `amd-epyc-2-threads`.
 */
export function machineSlug({ name, threads }: Pick<Machine, "name" | "threads">): string {
  const short = name.replaceAll(/\([^)]*\)|@.*$|\b(processor|cpu)\b/gi, " ");
  const words = short.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-+|-+$/g, "");
  return `${words || "machine"}-${threads}-thread${threads === 1 ? "" : "s"}`;
}

/** Versions of this package, the runtime and the kernel library. */
export function softwareVersions(): Record<string, string> {
  return { ...versions(), typescript: Deno.version.typescript };
}

/**
 * Asks git for the checked-out commit.
 *
 * @returns Its hash, followed by `-dirty` if tracked files differ; null without git.
 */
export function commit(): string | null {
  const hash = git("rev-parse", "HEAD");
  if (hash === null) return null;
  return git("status", "--porcelain", "--untracked-files=no") === "" ? hash : `${hash}-dirty`;
}

function git(...args: string[]): string | null {
  try {
    const { success, stdout } = new Deno.Command("git", {
      args: ["-C", ROOT, ...args],
      stderr: "null",
    }).outputSync();
    return success ? new TextDecoder().decode(stdout).trim() : null;
  } catch {
    // No git, or no permission to run it.
    return null;
  }
}
