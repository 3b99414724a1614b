import { throws } from "node:assert/strict";
import {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertIsError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertNotStrictEquals,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  equal,
  fail,
  unreachable,
} from "@std/assert";

/** The assertions under test cannot check themselves. */
function fails(run: () => unknown, message?: string): void {
  throws(
    run,
    (error: unknown) =>
      error instanceof AssertionError && (message === undefined || error.message.includes(message)),
  );
}

class Point {
  constructor(readonly x: number) {}
}

const EQUAL: [unknown, unknown][] = [
  [NaN, NaN],
  [0, -0],
  [{ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }],
  [{ a: 1, b: 2 }, { b: 2, a: 1 }],
  [new Map([["a", [1]]]), new Map([["a", [1]]])],
  [new Set([1, 2]), new Set([2, 1])],
  [new Set([{ a: 1 }]), new Set([{ a: 1 }])],
  [new Date(5), new Date(5)],
  [/a/g, /a/g],
  [new URL("http://a/b"), new URL("http://a/b")],
  [new Float32Array([1, NaN, 0]), new Float32Array([1, NaN, -0])],
  [new BigUint64Array([1n]), new BigUint64Array([1n])],
  [new Error("a"), new Error("a")],
  [new Point(1), new Point(1)],
  [undefined, undefined],
];

const DIFFERENT: [unknown, unknown][] = [
  [1, 2],
  [1, "1"],
  [null, undefined],
  [{ a: 1 }, { a: 1, b: 1 }],
  [{ a: undefined }, {}],
  [[1, 2], [2, 1]],
  [[1], { 0: 1 }],
  [new Map([["a", 1]]), new Map([["a", 2]])],
  [new Map([["a", 1]]), new Map([["b", 1]])],
  [new Set([1]), new Set([1, 2])],
  [new Date(5), new Date(6)],
  [/a/g, /a/i],
  [new Float32Array([1, 2]), new Float32Array([1, 3])],
  [new Float32Array([1]), new Float64Array([1])],
  [new Float32Array([1]), new Float32Array([1, 2])],
  [new Point(1), { x: 1 }],
];

Deno.test("`assertEquals()` and `assertNotEquals()` compare deeply", () => {
  for (const [a, b] of EQUAL) {
    assert(equal(a, b), Deno.inspect([a, b]));
    assertEquals(a, b);
    fails(() => assertNotEquals(a, b));
  }
  for (const [a, b] of DIFFERENT) {
    assert(!equal(a, b), Deno.inspect([a, b]));
    fails(() => assertEquals(a, b, "why"), "why");
    assertNotEquals(a, b);
  }
});

Deno.test("`equal()` terminates on objects that contain themselves", () => {
  const [a, b]: { self?: unknown }[] = [{}, {}];
  a!.self = a;
  b!.self = b;
  assert(equal(a, b));
});

Deno.test("`assert()`, `assertFalse()` and `assertExists()` check one value", () => {
  assert(1);
  fails(() => assert(0, "why"), "why");
  assertFalse("");
  fails(() => assertFalse("a"));
  assertExists(0);
  fails(() => assertExists(null));
  fails(() => assertExists(undefined));
});

Deno.test("`assertStrictEquals()` is `Object.is`", () => {
  assertStrictEquals(NaN, NaN);
  fails(() => assertStrictEquals(0, -0));
  fails(() => assertStrictEquals({}, {}));
  assertNotStrictEquals({}, {});
  fails(() => assertNotStrictEquals("a", "a"));
});

Deno.test("`assertAlmostEquals()` has an absolute tolerance, default 1e-7 of expected", () => {
  assertAlmostEquals(1, 1 + 9e-8);
  fails(() => assertAlmostEquals(1, 1 + 2e-7));
  fails(() => assertAlmostEquals(1e-8, 1e-9));
  assertAlmostEquals(100, 101, 1);
  fails(() => assertAlmostEquals(100, 101.1, 1));
  assertAlmostEquals(Infinity, Infinity);
  fails(() => assertAlmostEquals(NaN, 1, 1));
  fails(() => assertAlmostEquals(1, NaN, 1));
});

Deno.test("the ordering assertions hold at their bounds", () => {
  assertGreater(2, 1);
  fails(() => assertGreater(1, 1));
  assertGreaterOrEqual(1, 1);
  fails(() => assertGreaterOrEqual(0, 1));
  assertLess(1, 2);
  fails(() => assertLess(1, 1));
  assertLessOrEqual(1, 1);
  fails(() => assertLessOrEqual(2, 1));
  fails(() => assertGreaterOrEqual(NaN, 1));
  fails(() => assertLessOrEqual(NaN, 1));
});

Deno.test("the assertions on strings and arrays find their targets", () => {
  assertStringIncludes("abc", "bc");
  fails(() => assertStringIncludes("abc", "d"));
  assertMatch("abc", /b/);
  fails(() => assertMatch("abc", /d/));
  assertNotMatch("abc", /d/);
  fails(() => assertNotMatch("abc", /b/));
  assertArrayIncludes([1, { a: 2 }], [{ a: 2 }]);
  fails(() => assertArrayIncludes([1], [2]));
  assertObjectMatch({ a: { b: 1, c: 2 }, d: 3 }, { a: { b: 1 } });
  fails(() => assertObjectMatch({ a: { b: 1 } }, { a: { b: 2 } }));
  assertInstanceOf(new RangeError(), Error);
  fails(() => assertInstanceOf({}, Error));
});

Deno.test("`assertThrows()` checks class and message, and returns the error", () => {
  const throwing = (): never => {
    throw new RangeError("too far");
  };
  assertEquals(assertThrows(throwing, RangeError, "far").message, "too far");
  assertInstanceOf(assertThrows(throwing), RangeError);
  assertThrows(throwing, Error);
  fails(() => assertThrows(throwing, TypeError), "TypeError");
  fails(() => assertThrows(throwing, RangeError, "near"), "near");
  fails(() => assertThrows(() => {}));
  fails(() => assertThrows(() => {}, "why"), "why");
  assertIsError(new RangeError("a"), RangeError, /a/);
  fails(() => assertIsError("a"));
});

Deno.test("`assertRejects()` checks class and message, and returns the error", async () => {
  const rejecting = (): Promise<never> => Promise.reject(new RangeError("too far"));
  assertEquals((await assertRejects(rejecting, RangeError, "far")).message, "too far");
  await assertRejects(rejecting);
  for (
    const wrong of [
      () => assertRejects(rejecting, TypeError),
      () => assertRejects(rejecting, RangeError, "near"),
      () => assertRejects(() => Promise.resolve(1)),
      () =>
        assertRejects(() => {
          throw new RangeError("not a rejection");
        }),
    ]
  ) {
    const reason = await wrong().then(() => undefined, (error: unknown) => error);
    assert(reason instanceof AssertionError, String(reason));
  }
});

Deno.test("`fail()` and `unreachable()` fail", () => {
  fails(() => fail("why"), "why");
  fails(() => unreachable());
});
