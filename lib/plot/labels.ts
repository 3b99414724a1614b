/**
 * Names for runs that tell them apart.
 *
 * @module
 */

import { largest } from "../extremes.ts";

/** How the folder of a run without a name of its own begins. */
const DATE = /^\d{4}-\d{2}-\d{2}-\d{6}-/;

/**
 * Names runs by as few of the last parts of their paths as tell them apart, without the date that
 * their folders begin with where the rest does.
 *
 * @param paths The run directories, absolute and all different.
 * @returns A name for each.
 */
export function runLabels(paths: readonly string[]): string[] {
  const parts = paths.map((path) => path.split(/[\\/]/).filter((part) => part !== ""));
  const named = (depth: number): string[] => parts.map((names) => names.slice(-depth).join("/"));
  const undated = named(1).map((name) => name.replace(DATE, ""));
  if (areDifferent(undated)) return undated;
  const deepest = largest(parts.map(({ length }) => length));
  for (let depth = 1; depth < deepest; depth++) {
    const labels = named(depth);
    if (areDifferent(labels)) return labels;
  }
  return named(deepest);
}

function areDifferent(names: readonly string[]): boolean {
  return new Set(names).size === names.length;
}
