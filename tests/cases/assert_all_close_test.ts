import { AssertionError, assertThrows } from "@std/assert";
import { assertAllClose } from "../../kernels/cases/assert_all_close.ts";
import { EXACT } from "../../kernels/cases/tolerance.ts";

Deno.test("`assertAllClose()` accepts values within either tolerance", () => {
  assertAllClose([1.0009, 0.0009], [1, 0], { rtol: 0, atol: 0.001 });
  assertAllClose([1000.9, -1000.9], [1000, -1000], { rtol: 0.001, atol: 0 });
  assertAllClose([Infinity, -Infinity, NaN, -0], [Infinity, -Infinity, NaN, 0], EXACT);
  assertAllClose([], [], EXACT);
});

Deno.test("`assertAllClose()` names the worst element, its coordinates and both values", () => {
  const options = { rtol: 0, atol: 0.5, name: "gates", shape: [2, 3] };
  assertThrows(
    () => assertAllClose([0, 1, 2, 3, 9, 5.7], [0, 1, 2, 3, 4, 5], options),
    AssertionError,
    "gates [2, 3]: 2 of 6 elements are off; the worst, at [1, 1], is 9, expected 4: 10.0 times",
  );
});

Deno.test("`assertAllClose()` rejects NaN, infinities and different lengths", () => {
  const lenient = { rtol: 1, atol: 1e9 };
  for (const [actual, expected] of [[NaN, 0], [0, NaN], [Infinity, 0], [Infinity, -Infinity]]) {
    assertThrows(() => assertAllClose([actual!], [expected!], lenient), AssertionError);
  }
  assertThrows(() => assertAllClose([1, 2], [1], lenient), AssertionError, "2 elements");
});
