/** Arbitrary damage to valid inputs. @module */

import * as fc from "fast-check";

/** Arbitrary bytes, favouring those with a meaning in the formats here. */
const byte = fc.oneof(
  fc.nat({ max: 255 }),
  fc.constantFrom(...new TextEncoder().encode('\0\n\r"{}[],:\\0123456789-eE'), 0x80, 0xc0, 0xff),
);

/** A change at a position, given as a fraction of the length. */
interface Change {
  readonly kind: "replace" | "insert" | "remove" | "cut" | "repeat";
  readonly at: number;
  readonly bytes: readonly number[];
}

const changes: fc.Arbitrary<Change[]> = fc.array(
  fc.record({
    kind: fc.constantFrom("replace", "insert", "remove", "cut", "repeat"),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    bytes: fc.array(byte, { minLength: 1, maxLength: 4 }),
  }),
  { minLength: 1, maxLength: 4 },
);

/**
 * Corrupts bytes in a few places.
 *
 * @param valid Gives the bytes.
 * @returns Damaged bytes.
 */
export function damaged(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array<ArrayBuffer>> {
  return fc.tuple(valid, changes).map(([bytes, list]) =>
    list.reduce(change, Uint8Array.from(bytes))
  );
}

function change(
  bytes: Uint8Array<ArrayBuffer>,
  { kind, at, bytes: given }: Change,
): Uint8Array<ArrayBuffer> {
  const place = Math.floor(at * bytes.length);
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
  switch (kind) {
    case "replace":
      return Uint8Array.from([...before, ...given, ...after.subarray(given.length)]);
    case "insert":
      return Uint8Array.from([...before, ...given, ...after]);
    case "remove":
      return Uint8Array.from([...before, ...after.subarray(given.length)]);
    case "cut":
      return Uint8Array.from(before);
    case "repeat":
      return Uint8Array.from([...before, ...bytes.subarray(place, place + 40), ...after]);
  }
}

/** Any JSON value, favouring those that programs stumble over. */
export const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(
    null,
    0,
    -0,
    -1,
    0.5,
    1e-320,
    1e308,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 53,
    Infinity,
    NaN,
    "",
    "auto",
    "nan",
    [],
    {},
    true,
  ),
);

/** Arbitrary keys, favouring those with a meaning in JavaScript. */
export const anyKey: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom("__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "length"),
  fc.string({ maxLength: 8 }),
);

/**
 * Changes values of an object of objects: sets, adds or removes a key somewhere.
 *
 * @param valid The object.
 * @returns Copies with one to three changes.
 */
export function altered(valid: object): fc.Arbitrary<unknown> {
  const keys = pathsOf(valid);
  const path = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...keys) },
    fc.tuple(fc.constantFrom(...keys), anyKey).map(([known, key]) => [...known.slice(0, -1), key]),
  );
  const one = fc.record({ path, value: fc.option(anyValue, { nil: undefined }) });
  return fc.array(one, { minLength: 1, maxLength: 3 }).map((list) =>
    list.reduce<unknown>(
      (input, { path, value }) => withValue(input, path, value),
      structuredClone(valid),
    )
  );
}

function pathsOf(value: object, prefix: readonly string[] = []): string[][] {
  return Object.entries(value).flatMap(([key, inner]) => [
    [...prefix, key],
    ...(typeof inner === "object" && inner !== null ? pathsOf(inner, [...prefix, key]) : []),
  ]);
}

/**
 * A copy with a value set at a path; undefined removes it, and nonexistent paths change nothing.
 */
function withValue(input: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  if (typeof input !== "object" || input === null || key === undefined) return input;
  const copy = Array.isArray(input) ? [...input] : { ...input };
  const inner = (copy as Record<string, unknown>)[key];
  const next = rest.length === 0 ? value : withValue(inner, rest, value);
  // An own property even if it is called __proto__.
  Object.defineProperty(copy, key, {
    value: next,
    enumerable: next !== undefined,
    configurable: true,
    writable: true,
  });
  return copy;
}
