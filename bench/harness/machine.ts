/** The machine and the software that a run measured. @module */

import { ROOT } from "./paths.ts";
import type { DevicePeak } from "../../lib/ffi/mod.ts";
import { versions } from "../../lib/run/versions.ts";
import type { DeviceInfo } from "../../mod.ts";

/** A machine, as far as times depend on it. */
export interface Machine {
  /** The processor's or accelerator's name. */
  readonly name: string;
  /** `cpu`, `cuda` or `emulated`. */
  readonly backend: string;
  /** The instruction set or architecture chosen at run time. */
  readonly isa: string;
  /** Threads of the kernels. */
  readonly threads: number;
  /** Implementation of dense products. */
  readonly gemm: string;
  /** Memory of the device in bytes. */
  readonly memory_bytes: number;
  /** Operating system. */
  readonly os: string;
  /** Processors waiting or working over the last minute, as the run began: above 0.5, others were. */
  readonly load_average: number;
  /** Fused multiply-adds from registers, in GFLOPS. */
  readonly peak_gflops: number;
  /** A copy in memory, reading and writing counted, in GB/s. */
  readonly copy_gigabytes_per_second: number;
}

/**
 * Describes a machine.
 *
 * @param info What its device says.
 * @param peak What was measured on it.
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
 * Names a machine for a file name.
 *
 * @param machine The machine.
 * @returns Like `amd-epyc-2-threads`.
 */
export function machineSlug({ name, threads }: Pick<Machine, "name" | "threads">): string {
  const short = name.replaceAll(/\([^)]*\)|@.*$|\b(processor|cpu)\b/gi, " ");
  const words = short.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-+|-+$/g, "");
  return `${words || "machine"}-${threads}-thread${threads === 1 ? "" : "s"}`;
}

/** Versions of this package, the runtime and the kernel library's file. */
export function softwareVersions(): Record<string, string> {
  return { ...versions(), typescript: Deno.version.typescript };
}

/**
 * Asks git for the commit that is checked out.
 *
 * @returns Its hash, with `-dirty` after it where tracked files differ; null without git.
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
