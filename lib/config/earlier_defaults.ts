/** What versions before a key existed did, for configurations that they wrote. @module */

/** Values of keys whose default is not what earlier versions did. */
const EARLIER = {
  /** Everything was computed in fp32; the default may choose bf16. */
  model: { dtype: "f32" },
} as const;

/**
 * Adds to a written configuration what it means where it lacks a later key.
 *
 * @param input A parsed `config.json`, or the like; anything else is returned as it is.
 * @returns The same with the keys.
 */
export function withEarlierDefaults(input: unknown): unknown {
  if (!isGroup(input)) return input;
  const completed: Record<string, unknown> = { ...input };
  for (const [name, section] of Object.entries(EARLIER)) {
    const given = input[name];
    if (isGroup(given)) completed[name] = { ...section, ...given };
  }
  return completed;
}

function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
