/** Many names of tensors in few words. @module */

const WEIGHT = ".weight";

/**
 * Shortens names of tensors: layers and experts become `*`, and names that differ in one part are
 * joined, as in `model.layers.*.mlp.{gate_proj,up_proj}.weight`.
 *
 * @param names The names, in order.
 * @returns The patterns, in the order of their first names.
 */
export function patterns(names: readonly string[]): string[] {
  const groups = new Map<string, { before: string; parts: Set<string>; after: string }>();
  for (const name of names) {
    const starred = name.replaceAll(/\.\d+(?=\.)/g, ".*");
    const after = starred.endsWith(WEIGHT) ? WEIGHT : "";
    const stem = after === "" ? starred : starred.slice(0, -after.length);
    const before = stem.slice(0, stem.lastIndexOf(".") + 1);
    const group = groups.get(before + after) ?? { before, parts: new Set(), after };
    group.parts.add(stem.slice(before.length));
    groups.set(before + after, group);
  }
  return [...groups.values()].map(({ before, parts, after }) => {
    const all = [...parts].join(",");
    return before + (parts.size === 1 ? all : `{${all}}`) + after;
  });
}
