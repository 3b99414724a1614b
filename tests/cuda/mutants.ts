/** The kernels with one barrier removed, which the race checker must catch. */

import { fileURLToPath } from "node:url";
import type { Mutant } from "../../kernels/tools/build_cuda.ts";
import { TENSOR_CORE_FILES } from "./tensor_core_mutants.ts";

/** A barrier in a source. */
export interface Barrier {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

const FOLDER = fileURLToPath(new URL("../../kernels/cuda/", import.meta.url));
const BARRIER = /__sync(threads|warp)\(\);/;

/** Days until every mutant has been tried. */
const SHARES = 10;

/** The barriers of all kernels but those for tensor cores, ordered by file and line. */
export async function barriers(): Promise<Barrier[]> {
  const found: Barrier[] = [];
  for (const file of sources().filter((file) => !TENSOR_CORE_FILES.includes(file))) {
    const lines = (await Deno.readTextFile(FOLDER + file)).split("\n");
    lines.forEach((line, i) => {
      const text = line.match(BARRIER)?.[0];
      if (text !== undefined) found.push({ file, line: i + 1, text });
    });
  }
  return found;
}

/** The paths of all sources, sorted. */
function sources(folder = ""): string[] {
  const entries = [...Deno.readDirSync(FOLDER + folder)];
  return entries.flatMap(({ name, isDirectory }) => {
    if (isDirectory) return sources(`${folder}${name}/`);
    return /\.(cu|h)$/.test(name) ? [folder + name] : [];
  }).sort();
}

/**
 * The mutants that a run of the tests tries: each takes seconds to compile, so a tenth of them,
 * another tenth every day, and all with `REMOE_TEST_MUTANTS=all` (`deno task test:cuda:full`).
 *
 * @param all Every mutant.
 * @returns Those of today.
 */
export function todaysShare<T>(all: readonly T[]): T[] {
  if (Deno.env.get("REMOE_TEST_MUTANTS") === "all") return [...all];
  const day = Math.floor(Date.now() / 86_400_000);
  return all.filter((_, i) => i % SHARES === day % SHARES);
}

/** The kernels without one barrier. */
export async function without({ file, line }: Barrier): Promise<Mutant> {
  const lines = (await Deno.readTextFile(FOLDER + file)).split("\n");
  lines[line - 1] = lines[line - 1]!.replace(BARRIER, ";");
  return { name: `${file.replaceAll("/", "_")}_${line}`, files: { [file]: lines.join("\n") } };
}
