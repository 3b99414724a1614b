import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  estimate,
  incompleteBeta,
  logGamma,
  pairedDifference,
  tProbability,
  tQuantile,
} from "../lib/statistics.ts";

Deno.test("quantiles of t are those of the printed tables", () => {
  // Two-sided 95 %, then 99 %: p = 0.975 and 0.995.
  const table: readonly (readonly [number, number, number])[] = [
    [1, 12.7062, 63.6567],
    [2, 4.30265, 9.92484],
    [3, 3.18245, 5.84091],
    [4, 2.77645, 4.60409],
    [5, 2.57058, 4.03214],
    [9, 2.26216, 3.24984],
    [10, 2.22814, 3.16927],
    [30, 2.04227, 2.75000],
    [120, 1.97993, 2.61742],
  ];
  for (const [freedom, at95, at99] of table) {
    assertAlmostEquals(tQuantile(0.975, freedom), at95, 5e-5 * at95);
    assertAlmostEquals(tQuantile(0.995, freedom), at99, 5e-5 * at99);
  }
  // With many degrees of freedom it is the normal distribution.
  assertAlmostEquals(tQuantile(0.975, 1e7), 1.959964, 1e-5);
});

Deno.test("t has closed forms for one and two degrees of freedom", () => {
  for (const t of [-20, -3, -0.5, 0, 1e-3, 1, 7, 400]) {
    assertAlmostEquals(tProbability(t, 1), 0.5 + Math.atan(t) / Math.PI, 1e-12);
    assertAlmostEquals(tProbability(t, 2), 0.5 + t / (2 * Math.sqrt(2 + t * t)), 1e-12);
  }
  for (const p of [0.001, 0.2, 0.5, 0.9, 0.9999]) {
    assertAlmostEquals(tQuantile(p, 1) / Math.tan(Math.PI * (p - 0.5)) || 1, 1, 1e-9);
    assertAlmostEquals(tProbability(tQuantile(p, 7), 7), p, 1e-12);
  }
});

Deno.test("the beta and gamma functions agree with closed forms", () => {
  for (const x of [0.001, 0.3, 0.5, 0.77, 0.999]) {
    assertAlmostEquals(incompleteBeta(x, 1, 1), x, 1e-14);
    assertAlmostEquals(incompleteBeta(x, 3, 1), x ** 3, 1e-13);
    assertAlmostEquals(incompleteBeta(x, 2, 2), x * x * (3 - 2 * x), 1e-13);
    assertAlmostEquals(incompleteBeta(x, 50, 0.5) + incompleteBeta(1 - x, 0.5, 50), 1, 1e-12);
  }
  assertEquals([incompleteBeta(0, 2, 3), incompleteBeta(1, 2, 3)], [0, 1]);
  let factorial = 1;
  for (let n = 1; n <= 20; n++) {
    assertAlmostEquals(logGamma(n), Math.log(factorial), 1e-12 * n);
    factorial *= n;
  }
  assertAlmostEquals(logGamma(0.5), Math.log(Math.PI) / 2, 1e-13);
});

Deno.test("a mean has the interval of a worked example", () => {
  // Student's sleep data (1908): paired differences of two drugs, t = 4.0621 with 9 degrees.
  const drug1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
  const drug2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
  const bySeed = (values: number[]): Map<number, number> => new Map(values.entries());
  const difference = pairedDifference(bySeed(drug2), bySeed(drug1))!;
  assertAlmostEquals(difference.mean, 1.58, 1e-12);
  assertAlmostEquals(difference.mean / difference.standard_error!, 4.0621, 5e-5);
  assertAlmostEquals(difference.interval![0], 0.7001142, 5e-7);
  assertAlmostEquals(difference.interval![1], 2.4598858, 5e-7);
});

Deno.test("only common seeds are paired, and one seed has no interval", () => {
  const a = new Map([[0, 1], [1, 5]]);
  const one = pairedDifference(a, new Map([[1, 2], [7, 3]]))!;
  assertEquals(one, { n: 1, mean: 3, deviation: null, standard_error: null, interval: null });
  assertEquals(pairedDifference(a, new Map([[9, 1]])), null);
  const same = estimate([2, 2, 2]);
  assertEquals(same.interval, [2, 2]);
});

Deno.test("what has no quantile or mean is refused", () => {
  for (const p of [0, 1, NaN]) assertThrows(() => tQuantile(p, 3), RangeError, "quantile of t");
  assertThrows(() => tQuantile(0.9, 0), RangeError, "0 degrees");
  assertThrows(() => estimate([]), RangeError, "no values");
  assert(tQuantile(0.025, 4) === -tQuantile(0.975, 4));
});
