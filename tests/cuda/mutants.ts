/** The kernels with one barrier removed, which the race checker must catch. */

import type { Mutant } from "../../kernels/tools/build_cuda.ts";
import { cudaSources, withLine } from "./cuda_sources.ts";
import { isForTensorCores } from "./tensor_core_mutants.ts";

/** A barrier in a source. */
export interface Barrier {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

const BARRIER = /__sync(threads|warp)\(\);/;

/** Days until every mutant has been tried. */
const SHARES = 10;

/** The barriers of all kernels but those for tensor cores, ordered by file and line. */
export function barriers(): Barrier[] {
  const sources = cudaSources().filter((source) => !isForTensorCores(source));
  return sources.flatMap(({ file, lines }) =>
    lines.flatMap((line, i) => {
      const text = line.match(BARRIER)?.[0];
      return text === undefined ? [] : [{ file, line: i + 1, text }];
    })
  );
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
export function without({ file, line }: Barrier): Mutant {
  return withLine(file, line, (text) => text.replace(BARRIER, ";"));
}
