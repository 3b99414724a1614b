/**
 * Distinct names for runs.
 *
 * @module
 */

import { largest } from "../extremes.ts";

/** The date that the folder of an unnamed run begins with. */
const DATE = /^\d{4}-\d{2}-\d{2}-\d{6}-/;

/**
 * Names runs by as few trailing path components as tell them apart. Folder names lose their date if
 * they differ without it.
 *
 * @param paths The run directories, absolute and distinct.
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
