import {
  add,
  causalAttention,
  crossEntropy,
  divide,
  embedding,
  exp,
  log,
  matmul,
  mean,
  meanSquaredError,
  multiply,
  negate,
  relu,
  reshape,
  rmsNorm,
  rows,
  scale,
  shift,
  sigmoid,
  silu,
  softmax,
  sqrt,
  square,
  subtract,
  sum,
  swiglu,
  tanh,
  type Tensor,
  transpose,
} from "../../mod.ts";
import type { Random } from "../../kernels/cases/random.ts";
import { attention } from "../../kernels/cases/reference/attention.ts";
import { crossEntropy as crossEntropyReference } from "../../kernels/cases/reference/cross_entropy.ts";
import {
  binary,
  type BinaryName,
  unary,
  type UnaryName,
} from "../../kernels/cases/reference/elementwise.ts";
import { swiglu as swigluReference } from "../../kernels/cases/reference/experts.ts";
import { matmul as matmulReference } from "../../kernels/cases/reference/gemm.ts";
import { copyStrided, denseStrides } from "../../kernels/cases/reference/layout.ts";
import { reduce, softmax as softmaxReference } from "../../kernels/cases/reference/reduction.ts";
import { rmsNorm as rmsNormReference } from "../../kernels/cases/reference/rms_norm.ts";
import { rope } from "../../kernels/cases/reference/rope.ts";
import { openDevice } from "../tensor/open_device.ts";
import { broadcast } from "./broadcast.ts";
import { assertGradients, type GradientCheck, type Matrix, type Vector } from "./gradient_check.ts";

type Draw = (random: Random, length: number) => Float32Array<ArrayBuffer>;

/** Between 0.5 and 2.5: away from the singularities of log, sqrt and division. */
const positive: Draw = (random, length) => random.uniform(length, { mean: 1.5 });
/** At least 0.1 from 0: differences must not step over the kink of ReLU. */
const awayFromZero: Draw = (random, length) =>
  random.uniform(length).map((x) => x + (x < 0 ? -0.1 : 0.1));

const UNARY: readonly [UnaryName, (x: Tensor<"f32">) => Tensor<"f32">, number, Draw?][] = [
  ["negate", negate, 0],
  ["exp", exp, 0],
  ["log", log, 0, positive],
  ["sqrt", sqrt, 0, positive],
  ["square", square, 0],
  ["relu", relu, 0, awayFromZero],
  ["sigmoid", sigmoid, 0],
  ["silu", silu, 0],
  ["tanh", tanh, 0],
  ["scale", (x) => scale(x, -0.7), Math.fround(-0.7)],
  ["shift", (x) => shift(x, 1.25), 1.25],
];

const unaryChecks: GradientCheck[] = UNARY.map(([name, run, parameter, draw]) => ({
  name: `${name}()`,
  inputs: [{ shape: [3, 7], ...(draw ? { draw } : {}) }],
  run: (_, [x]) => run(x!),
  reference: ([x]) => x!.map((value) => unary(name, value, parameter)),
}));

const BINARY: readonly [BinaryName, (a: Tensor<"f32">, b: Tensor<"f32">) => Tensor<"f32">][] = [
  ["add", add],
  ["subtract", subtract],
  ["multiply", multiply],
  ["divide", divide],
];
const PAIRS: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[3, 4], [3, 4]],
  [[3, 4], [4]],
  [[3, 1], [1, 4]],
  [[4], [2, 3, 4]],
  [[2, 1, 4], [3, 1]],
  [[], [2, 3]],
];

const binaryChecks: GradientCheck[] = BINARY.flatMap(([name, run]) =>
  PAIRS.map(([left, right]) => ({
    name: `${name}() of [${left}] and [${right}]`,
    inputs: [{ shape: left }, { shape: right, draw: positive }],
    run: (_, [a, b]) => run(a!, b!),
    reference: ([a, b]) => broadcast(a!, left, b!, right, (x, y) => binary(name, x, y)),
  }))
);

const reductionChecks: GradientCheck[] = (["sum", "mean"] as const).flatMap((name) =>
  [undefined, 0, 1, -1].map((axis) => ({
    name: `${name}() over ${axis ?? "all axes"}`,
    inputs: [{ shape: [2, 5, 3] }],
    run: (_, [x]) => (name === "sum" ? sum : mean)(x!, axis === undefined ? {} : { axis }),
    reference: ([x]) => {
      const reduced = [0, 1, 2].map((i) => axis === undefined || i === (axis + 3) % 3);
      return reduce(name, x!, [2, 5, 3], reduced);
    },
  }))
);

const layoutChecks: GradientCheck[] = [
  {
    name: "reshape()",
    inputs: [{ shape: [2, 6] }],
    run: (_, [x]) => reshape(x!, [3, 2, 2]),
    reference: ([x]) => x!.slice(),
  },
  {
    name: "transpose()",
    inputs: [{ shape: [2, 3, 4] }],
    run: (_, [x]) => transpose(x!),
    reference: ([x]) => {
      const [s0, s1, s2] = denseStrides([2, 3, 4]) as [number, number, number];
      return copyStrided(x!, [2, 4, 3], [s0, s2, s1]);
    },
  },
  {
    name: "rows()",
    inputs: [{ shape: [5, 3] }],
    run: (_, [x]) => rows<readonly [number]>(x as Matrix, 1, 4),
    reference: ([x]) => x!.slice(3, 12),
  },
];

const productChecks: GradientCheck[] = [
  {
    name: "matmul()",
    inputs: [{ shape: [5, 7] }, { shape: [7, 3] }],
    run: (_, [a, b]) => matmul(a!, b!),
    reference: ([a, b]) => matmulReference(a!, b!, 5, 7, 3),
  },
  {
    name: "matmul() with leading axes",
    inputs: [{ shape: [2, 3, 4] }, { shape: [4, 5] }],
    run: (_, [a, b]) => matmul(a!, b!),
    reference: ([a, b]) => matmulReference(a!, b!, 6, 4, 5),
  },
  {
    name: "matmul() of a row",
    inputs: [{ shape: [4] }, { shape: [4, 5] }],
    run: (_, [a, b]) => matmul(a!, b!),
    reference: ([a, b]) => matmulReference(a!, b!, 1, 4, 5),
  },
];

const ATTENTION = { batch: 2, sequence: 6, heads: 4, groups: 2, headDim: 4, stride: 32 };

const transformerChecks: GradientCheck[] = [
  {
    name: "softmax()",
    inputs: [{ shape: [2, 3, 5] }],
    run: (_, [x]) => softmax(x!),
    reference: ([x]) => softmaxReference(x!, 5),
  },
  {
    name: "rmsNorm()",
    inputs: [{ shape: [4, 6] }, { shape: [6], dtype: "f32" }],
    run: (_, [x, weight]) => rmsNorm(x!, weight as Vector, 1e-3),
    reference: ([x, weight]) => rmsNormReference(x!, weight!, Math.fround(1e-3)),
  },
  {
    name: "swiglu()",
    inputs: [{ shape: [3, 10] }],
    run: (_, [h]) => swiglu(h as Matrix),
    reference: ([h]) => swigluReference(h!, 5),
  },
  {
    name: "embedding() with a token that is not there and one that is there twice",
    inputs: [{ shape: [4, 3] }],
    run: (device, [table]) => embedding(table as Matrix, device.tokens([2, 0, 2])),
    reference: ([table]) =>
      Float64Array.from([2, 0, 2].flatMap((t) => [...table!.subarray(3 * t, 3 * t + 3)])),
  },
  {
    name: "meanSquaredError()",
    inputs: [{ shape: [3, 4] }, { shape: [3, 4] }],
    run: (_, [a, b]) => meanSquaredError(a!, b!),
    reference: ([a, b]) =>
      Float64Array.of(a!.reduce((total, x, i) => total + (x - b![i]!) ** 2, 0) / 12),
  },
  {
    name: "crossEntropy() with a target that is ignored",
    inputs: [{ shape: [4, 6] }, { shape: [6, 9] }],
    run: (device, [x, head]) =>
      crossEntropy(x as Matrix, head as Matrix, device.tokens([3, -1, 8, 0])).loss,
    reference: ([x, head]) => {
      const sizes = { tokens: 4, hidden: 6, vocabulary: 9 };
      return Float64Array.of(
        crossEntropyReference(x!, head!, Int32Array.of(3, -1, 8, 0), sizes).mean,
      );
    },
  },
  {
    name: "causalAttention()",
    inputs: [{ shape: [12, 32] }],
    run: (_, [qkv]) =>
      causalAttention(qkv as Matrix, { sequence: 6, heads: 4, groups: 2, ropeBase: 100 }),
    reference: ([qkv]) => rotaryAttention(qkv!),
  },
  {
    name: "causalAttention() in place, on a fresh projection",
    inputs: [{ shape: [12, 5] }, { shape: [5, 32] }],
    run: (_, [x, w]) =>
      causalAttention(matmul(x as Matrix, w as Matrix), {
        sequence: 6,
        heads: 4,
        groups: 2,
        ropeBase: 100,
        inPlace: true,
      }),
    reference: ([x, w]) => rotaryAttention(matmulReference(x!, w!, 12, 5, 32)),
  },
];

/** Queries and keys are rotated together: heads + groups heads side by side. */
function rotaryAttention(qkv: Float64Array): Float64Array {
  const { sequence, heads, groups, headDim, stride } = ATTENTION;
  const sizes = {
    rows: 12,
    stride,
    sequence,
    heads: heads + groups,
    headDim,
    base: 100,
    offset: 0,
  };
  return attention(rope(qkv, sizes), ATTENTION).out;
}

const FAMILIES = {
  "unary operations": unaryChecks,
  "binary operations": binaryChecks,
  "reductions": reductionChecks,
  "operations on the layout": layoutChecks,
  "products": productChecks,
  "operations of a transformer": transformerChecks,
};

for (const [family, checks] of Object.entries(FAMILIES)) {
  Deno.test(`${family} match float64, and their gradients its finite differences`, async (t) => {
    using device = await openDevice();
    for (const check of checks) {
      await t.step(check.name, () => assertGradients(device, check));
    }
  });
}

/** Checks of more than one operation, and how many roundings the others add. */
const MORE_ROUNDINGS: Readonly<Record<string, number>> = {
  "causalAttention() in place, on a fresh projection": 4,
};

for (const [family, checks] of Object.entries(FAMILIES)) {
  Deno.test(`${family} of bf16 match float64 within its roundings`, async (t) => {
    using device = await openDevice();
    for (const check of checks) {
      await t.step(
        check.name,
        () => assertGradients(device, check, "bf16", MORE_ROUNDINGS[check.name]),
      );
    }
  });
}
