/**
 * Finds what a run would lack if it were started now, reading no text and opening no CPU device.
 *
 * @module
 */

import { glob } from "node:fs/promises";
import { splitDomain } from "../../lib/data/text/text_files.ts";
import { libraryPaths } from "../../lib/ffi/find_library.ts";
import { isGranted } from "../../lib/permissions.ts";
import { systemReason } from "../../lib/system_reason.ts";
import type { TrainConfig } from "../../lib/config/config.ts";

/**
 * Looks for the texts and the device that a configuration names. What there is no permission to
 * inspect counts as present.
 *
 * @param config The full configuration.
 * @returns What is missing, one sentence each.
 */
export async function problemsAhead({ data, device }: TrainConfig): Promise<string[]> {
  const problems: string[] = [];
  for (const text of [...data.paths, ...data.validation_paths]) {
    const { path } = splitDomain(text);
    const problem = await textProblem(path);
    if (problem !== null) problems.push(`Cannot read ${path}: ${problem}`);
  }
  if (device === "cuda") problems.push(...await cudaProblems());
  return problems;
}

async function textProblem(path: string): Promise<string | null> {
  if (!isGranted({ name: "read", path })) return null;
  try {
    await Deno.stat(path);
    return null;
  } catch (error) {
    if (!/[*?[{]/.test(path)) return systemReason(error);
  }
  for await (const _ of glob(path)) return null;
  return "no file matches it";
}

async function cudaProblems(): Promise<string[]> {
  const here: string[] = [];
  for (const path of libraryPaths("cuda")) {
    if (!isGranted({ name: "read", path })) return [];
    if (await Deno.stat(path).then(() => true, () => false)) here.push(path);
  }
  if (here.length === 0) return ["Cannot open device cuda: there is no kernel library for it"];
  if (!here.every((path) => isGranted({ name: "ffi", path }))) return [];
  // Loaded on demand: the sizes alone need no library.
  const { Device } = await import("../../lib/autograd/device.ts");
  try {
    using _device = await Device.open({ kind: "cuda" });
    return [];
  } catch (error) {
    return [(error as Error).message.split("\n")[0]!];
  }
}
