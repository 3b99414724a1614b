/** The merges behind a list of tokens in merge order. @module */

/**
 * Finds for each token of several bytes the two tokens that merge into it: those that the byte-pair
 * encoding of its bytes arrives at with the earlier tokens alone.
 *
 * @param tokens The bytes of each token, in merge order.
 * @returns The pairs, in the order of the tokens they form.
 */
export function mergesOf(tokens: readonly Uint8Array[]): [left: Uint8Array, right: Uint8Array][] {
  const ids = new Map(tokens.map((bytes, id) => [keyOf(bytes), id]));
  return tokens.flatMap((bytes, id) => bytes.length < 2 ? [] : [halves(bytes, id, ids)]);
}

function halves(
  bytes: Uint8Array,
  id: number,
  ids: ReadonlyMap<string, number>,
): [Uint8Array, Uint8Array] {
  let parts = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
  while (parts.length > 2) {
    let [best, at] = [id, -1];
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = ids.get(keyOf(parts[i]!) + keyOf(parts[i + 1]!)) ?? id;
      if (rank < best) [best, at] = [rank, i];
    }
    if (at < 0) throw new RangeError(`Cannot split token ${id}: earlier tokens do not form it`);
    const start = parts[at]!.byteOffset - bytes.byteOffset;
    const length = parts[at]!.length + parts[at + 1]!.length;
    parts = [
      ...parts.slice(0, at),
      bytes.subarray(start, start + length),
      ...parts.slice(at + 2),
    ];
  }
  return [parts[0]!, parts[1]!];
}

function keyOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
