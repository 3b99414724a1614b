/**
 * Deep equality: same constructor, same keys, equal values. `NaN` equals `NaN` and 0 equals -0.
 *
 * @param actual One value.
 * @param expected The other.
 * @returns Whether they are equal.
 */
export function equal(actual: unknown, expected: unknown): boolean {
  return compare(actual, expected, new Map());
}

function compare(a: unknown, b: unknown, seen: Map<object, unknown>): boolean {
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if ((a.constructor ?? Object) !== (b.constructor ?? Object)) return false;
  if (a instanceof Date && b instanceof Date) return compare(a.getTime(), b.getTime(), seen);
  if (a instanceof RegExp || a instanceof URL) return String(a) === String(b);
  if (ArrayBuffer.isView(a) && ArrayBuffer.isView(b)) return compareViews(a, b);
  if (seen.get(a) === b) return true;
  seen.set(a, b);
  if (a instanceof Set && b instanceof Set) return compareSets(a, b, seen);
  if (a instanceof Map && b instanceof Map) return compareMaps(a, b, seen);
  const keys = Reflect.ownKeys(a).filter((key) => isEnumerable(a, key));
  const others = Reflect.ownKeys(b).filter((key) => isEnumerable(b, key));
  if (a instanceof Error) keys.push("name", "message"), others.push("name", "message");
  return keys.length === others.length &&
    keys.every((key) => key in b && compare(Reflect.get(a, key), Reflect.get(b, key), seen));
}

function isEnumerable(object: object, key: PropertyKey): boolean {
  return Object.prototype.propertyIsEnumerable.call(object, key);
}

/** Element by element without naming every index: tensors have millions of them. */
function compareViews(a: ArrayBufferView, b: ArrayBufferView): boolean {
  if (a instanceof DataView || b instanceof DataView) {
    return compareViews(
      new Uint8Array(a.buffer, a.byteOffset, a.byteLength),
      new Uint8Array(b.buffer, b.byteOffset, b.byteLength),
    );
  }
  const left = a as unknown as ArrayLike<number | bigint>;
  const right = b as unknown as ArrayLike<number | bigint>;
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) {
    const x = left[i];
    const y = right[i];
    if (x !== y && !(Number.isNaN(x) && Number.isNaN(y))) return false;
  }
  return true;
}

function compareSets(a: Set<unknown>, b: Set<unknown>, seen: Map<object, unknown>): boolean {
  if (a.size !== b.size) return false;
  return [...a].every((x) => b.has(x) || [...b].some((y) => compare(x, y, seen)));
}

function compareMaps(
  a: Map<unknown, unknown>,
  b: Map<unknown, unknown>,
  seen: Map<object, unknown>,
): boolean {
  if (a.size !== b.size) return false;
  return [...a].every(([key, value]) =>
    b.has(key)
      ? compare(value, b.get(key), seen)
      : [...b].some(([k, v]) => compare(key, k, seen) && compare(value, v, seen))
  );
}
