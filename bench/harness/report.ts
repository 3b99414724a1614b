/** What a run reports at its end. @module */

import { relative } from "node:path";
import type { DevicePeak } from "../../lib/ffi/mod.ts";
import { comparisonReport } from "./compare.ts";
import { commit, describeMachine, type Machine, machineSlug, softwareVersions } from "./machine.ts";
import { RESULTS_FOLDER } from "./paths.ts";
import {
  type BenchKind,
  type BenchResults,
  type CaseResult,
  readResults,
  writeResults,
} from "./results.ts";
import type { ResultOptions } from "./selection.ts";
import { digits, markdownTable, percent, time } from "./table.ts";
import type { DeviceInfo } from "../../mod.ts";

/** What results are made of. */
export interface Measured {
  readonly kind: BenchKind;
  readonly info: DeviceInfo;
  readonly peak: DevicePeak;
  readonly load: number;
  readonly cases: readonly CaseResult[];
}

/**
 * Assembles results.
 *
 * @param measured What was measured, and on what.
 * @returns The results, dated now.
 */
export function makeResults({ kind, info, peak, load, cases }: Measured): BenchResults {
  return {
    format: 1,
    kind,
    date: new Date().toISOString(),
    commit: commit(),
    machine: describeMachine(info, peak, load),
    versions: softwareVersions(),
    cases,
  };
}

/**
 * Describes a machine in one line.
 *
 * @param machine The machine.
 * @param date When it was measured.
 * @returns Date, name, instruction set, threads, peaks and load.
 */
export function machineLine(machine: Machine, date: string): string {
  const { name, isa, threads, gemm, peak_gflops, copy_gigabytes_per_second } = machine;
  return `${date.slice(0, 10)}, ${name}, ${isa}, ${threads} threads, ${gemm}; peak ` +
    `${peak_gflops.toFixed(0)} GFLOPS, copy ${copy_gigabytes_per_second.toFixed(1)} GB/s, ` +
    `load average ${machine.load_average.toFixed(1)} at the start`;
}

/**
 * Formats the results of single cases.
 *
 * @param results The results.
 * @returns A line about the machine, and a table.
 */
export function caseTable({ machine, date, cases }: BenchResults): string {
  const rows = cases.map(({ group, name, flops, bytes, median_s, min_s, disturbed }) => {
    const gflops = flops / median_s / 1e9;
    const bandwidth = bytes / median_s / 1e9;
    return [
      group,
      name,
      time(median_s, disturbed),
      digits(min_s * 1e3),
      digits(gflops),
      percent(gflops / machine.peak_gflops),
      digits(bandwidth),
      percent(bandwidth / machine.copy_gigabytes_per_second),
    ];
  });
  const number = (title: string) => ({ title, isNumber: true });
  const table = markdownTable([
    { title: "group" },
    { title: "case" },
    number("median ms"),
    number("min ms"),
    number("GFLOPS"),
    number("of peak"),
    number("GB/s"),
    number("of copy"),
  ], rows);
  return `${machineLine(machine, date)}\n\n${table}`;
}

/**
 * The default file for a run's results.
 *
 * @param results The results.
 * @param isPartial Whether cases were left out: such a run must not replace a complete one.
 * @returns A path in `bench/results`.
 */
export function resultsPath({ kind, date, machine }: BenchResults, isPartial = false): string {
  const parts = [
    date.slice(0, 10),
    machineSlug(machine),
    ...(kind === "kernels" ? [] : [kind]),
    ...(isPartial ? ["partial"] : []),
  ];
  return `${RESULTS_FOLDER}/${parts.join("-")}.json`;
}

/** Where results go, and what they are compared with. */
export interface Destination {
  /** The file; absent: named after date and machine. */
  readonly output?: string;
  /** An earlier run to compare with. */
  readonly before: BenchResults | null;
}

/**
 * Reads what a run is to be compared with, before it begins: a wrong path is reported at once, and
 * the file may be the one that the run replaces.
 *
 * @param options The files.
 * @returns Where the results go.
 * @throws {ConfigError} If the file to compare with cannot be used.
 */
export function openDestination({ output, compare }: ResultOptions): Destination {
  return {
    ...(output === undefined ? {} : { output }),
    before: compare === undefined ? null : readResults(compare),
  };
}

/**
 * Writes results to their file and compares them.
 *
 * @param results The results.
 * @param destination The file, and what to compare with.
 * @param isPartial Whether cases were left out.
 * @returns The comparison, if any, and the file's name.
 */
export function finishResults(
  results: BenchResults,
  { output, before }: Destination,
  isPartial = false,
): string {
  const path = output ?? resultsPath(results, isPartial);
  writeResults(path, results);
  const saved = `Saved ${relative(Deno.cwd(), path)}`;
  return before === null ? saved : `${comparisonReport(before, results)}\n\n${saved}`;
}
