/**
 * Names for runs that tell them apart.
 *
 * @module
 */

import { largest } from "../extremes.ts";

/**
 * Names runs by as few of the last parts of their paths as tell them apart.
 *
 * @param paths The run directories, absolute and all different.
 * @returns A name for each.
 */
export function runLabels(paths: readonly string[]): string[] {
  const parts = paths.map((path) => path.split(/[\\/]/).filter((part) => part !== ""));
  const named = (depth: number): string[] => parts.map((names) => names.slice(-depth).join("/"));
  const deepest = largest(parts.map(({ length }) => length));
  for (let depth = 1; depth < deepest; depth++) {
    const labels = named(depth);
    if (new Set(labels).size === labels.length) return labels;
  }
  return named(deepest);
}
