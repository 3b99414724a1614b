/** The sources that mutants are made of. @module */

import { fileURLToPath } from "node:url";
import type { Mutant } from "../../kernels/tools/build_cuda.ts";

/** A source. */
export interface CudaSource {
  /** Its path in `kernels/cuda`. */
  readonly file: string;
  /** Its lines. */
  readonly lines: readonly string[];
}

/** Reads all sources, sorted by path. */
export function cudaSources(): CudaSource[] {
  return filesIn("").sort().map((file) => ({
    file,
    lines: Deno.readTextFileSync(FOLDER + file).split("\n"),
  }));
}

const FOLDER = fileURLToPath(new URL("../../kernels/cuda/", import.meta.url));

function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(FOLDER + folder)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return filesIn(`${folder}${name}/`);
    return /\.(cu|h)$/.test(name) ? [folder + name] : [];
  });
}

/**
 * The sources with one line replaced.
 *
 * @param file The file.
 * @param line The line's number, from 1.
 * @param edit Makes the new line.
 * @returns The mutant.
 */
export function withLine(file: string, line: number, edit: (text: string) => string): Mutant {
  const lines = Deno.readTextFileSync(FOLDER + file).split("\n");
  lines[line - 1] = edit(lines[line - 1]!);
  return { name: `${file.replaceAll("/", "_")}_${line}`, files: { [file]: lines.join("\n") } };
}
