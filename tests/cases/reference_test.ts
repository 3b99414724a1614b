import { assertAlmostEquals, assertEquals } from "@std/assert";
import { gradientCase, inputsOf, output } from "../../kernels/cases/case.ts";
import {
  directionalDerivative,
  partialDerivatives,
  probesOf,
} from "../../kernels/cases/finite_difference.ts";
import { Random, toBfloat16 } from "../../kernels/cases/random.ts";
import { attention } from "../../kernels/cases/reference/attention.ts";
import { crossEntropy } from "../../kernels/cases/reference/cross_entropy.ts";
import { dispatchPlan, planBuffer } from "../../kernels/cases/reference/dispatch_plan.ts";
import { experts } from "../../kernels/cases/reference/experts.ts";
import { gemm, matmul } from "../../kernels/cases/reference/gemm.ts";
import { philox, type Words } from "../../kernels/cases/reference/philox.ts";
import { dot, softmax } from "../../kernels/cases/reference/reduction.ts";
import { rope } from "../../kernels/cases/reference/rope.ts";
import { topkGates } from "../../kernels/cases/reference/router.ts";
import { EXACT } from "../../kernels/cases/tolerance.ts";

Deno.test("philox() reproduces its authors' known answers", () => {
  const ones = 0xffffffff;
  const answers: readonly [Words, readonly [number, number], Words][] = [
    [[0, 0, 0, 0], [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    [[ones, ones, ones, ones], [ones, ones], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  for (const [counter, key, expected] of answers) assertEquals(philox(counter, key), expected);
});

Deno.test("toBfloat16() rounds ties to even and keeps NaN", () => {
  const values = [1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 3.4e38, NaN, -Infinity];
  assertEquals([...toBfloat16(values)], [0x3f80, 0x3f80, 0x3f82, 0x7f80, 0x7fc0, 0xff80]);
});

Deno.test("partialDerivatives() and directionalDerivative() find a known gradient", () => {
  const cubes = gradientCase({
    name: "sum of cubes",
    operation: "none",
    symbols: [],
    flops: 0,
    bytes: 0,
    inputs: (random) => ({ x: random.normal(10) }),
    outputs: { dx: output([10], EXACT) },
    gradients: { dx: { of: "x", where: (index) => index !== 3 } },
    call: () => {},
    loss: ({ x }) => x.reduce((sum, value) => sum + value ** 3, 0),
  });
  const inputs = inputsOf(cubes);
  const x = inputs.x as Float32Array;
  const { indices, direction } = probesOf(cubes, inputs, "dx");
  assertEquals(indices.toSorted((a, b) => a - b), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
  for (const { index, value } of partialDerivatives(cubes, inputs, "x", indices)) {
    assertAlmostEquals(value, 3 * x[index]! ** 2, 1e-8);
  }
  assertAlmostEquals(dot(direction, direction), 1, 1e-12);
  assertAlmostEquals(
    directionalDerivative(cubes, inputs, "x", direction),
    dot(direction, x.map((value) => 3 * value ** 2)),
    1e-6,
  );
});

Deno.test("gemm() multiplies stored transposes like matmul() multiplies plain matrices", () => {
  const [a, b] = [Float64Array.of(1, 2, 3, 4, 5, 6), Float64Array.of(7, 8, 9, 10, 11, 12)];
  const expected = Float64Array.of(58, 64, 139, 154);
  const sizes = { m: 2, n: 2, k: 3 };
  assertEquals(matmul(a, b, 2, 3, 2), expected);
  assertEquals(gemm(a, b, new Float64Array(4), sizes), expected);
  const at = Float64Array.of(1, 4, 2, 5, 3, 6);
  const bt = Float64Array.of(7, 9, 11, 8, 10, 12);
  const transposed = { ...sizes, transposeA: true, transposeB: true };
  assertEquals(gemm(at, bt, new Float64Array(4), transposed), expected);
});

Deno.test("softmax() sums to 1 and survives large logits", () => {
  const y = softmax(Float64Array.of(1000, 1000, 0, -1000), 4);
  for (const [i, half] of [0.5, 0.5, 0, 0].entries()) assertAlmostEquals(y[i]!, half, 1e-12);
});

Deno.test("topkGates() breaks ties in favour of the lower expert", () => {
  const { gates } = topkGates(Float64Array.of(0, 1, 1, 1), 4, 2, true);
  assertEquals(gates, Float64Array.of(0, 0.5, 0.5, 0));
});

Deno.test("dispatchPlan() lists rows by expert and finds them by token", () => {
  const plan = dispatchPlan([1, 0, 0, 0, 2, 3], 3, 2);
  assertEquals(plan, {
    rows: 3,
    withoutExpert: 1,
    expertOffset: [0, 2, 3],
    tokenOffset: [0, 1, 1, 3],
    rowToken: [0, 2, 2],
    tokenRow: [0, 1, 2],
  });
  const header = [3, 0, 1, 4];
  const arrays = [[0, 2, 3], [0, 1, 1, 3], [0, 2, 2, -1], [0, 1, 2, -1]];
  assertEquals(planBuffer(plan, 4), Int32Array.from([header, ...arrays].flat()));
});

Deno.test("experts() with one expert and gate 1 is a feed-forward network", () => {
  const random = new Random("feed-forward");
  const sizes = { tokens: 2, hidden: 3, width: 4, experts: 1 };
  const [x, w1, w2] = [6, 24, 12].map((length) => Float64Array.from(random.normal(length)));
  const h = matmul(x!, w1!, 2, 3, 8);
  const a = Float64Array.from({ length: 8 }, (_, i) => {
    const [row, column] = [i >> 2, i & 3];
    const gate = h[row * 8 + column]!;
    return gate / (1 + Math.exp(-gate)) * h[row * 8 + 4 + column]!;
  });
  const expected = matmul(a, w2!, 2, 4, 3);
  const actual = experts(x!, w1!, w2!, Float64Array.of(1, 1), sizes);
  for (const [i, value] of expected.entries()) assertAlmostEquals(actual[i]!, value, 1e-12);
});

Deno.test("attention() of one position returns its value", () => {
  const sizes = { batch: 2, sequence: 1, heads: 2, groups: 1, headDim: 2, stride: 8 };
  const qkv = Float64Array.from({ length: 16 }, (_, i) => i);
  assertEquals(attention(qkv, sizes).out, Float64Array.of(6, 7, 6, 7, 14, 15, 14, 15));
});

Deno.test("rope() makes query-key products depend only on distance", () => {
  const sizes = { rows: 9, stride: 4, sequence: 9, heads: 1, headDim: 4, base: 100, offset: 0 };
  const repeated = (vector: readonly number[]): Float64Array =>
    Float64Array.from({ length: 36 }, (_, i) => vector[i % 4]!);
  const [q, k] = [[1, 2, 3, 4], [-2, 1, 0.5, 3]].map((vector) => rope(repeated(vector), sizes));
  const score = (i: number, j: number): number =>
    dot(q!.subarray(4 * i, 4 * i + 4), k!.subarray(4 * j, 4 * j + 4));
  assertAlmostEquals(score(8, 5), score(3, 0), 1e-12);
});

Deno.test("crossEntropy() of equal logits is log V, and ignores negative targets", () => {
  const sizes = { tokens: 3, hidden: 2, vocabulary: 5 };
  const targets = Int32Array.of(4, -1, 0);
  const result = crossEntropy(new Float64Array(6), new Float64Array(10), targets, sizes);
  assertEquals(result.count, 2);
  assertAlmostEquals(result.mean, Math.log(5), 1e-12);
  assertEquals(result.tokenLoss[1], 0);
});
