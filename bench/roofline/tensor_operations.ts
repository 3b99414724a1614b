/** Dense products at the paper's sizes, and operations on tensors. @module */

import {
  accumulateCase,
  binaryCase,
  unaryCase,
  unaryGradientCase,
} from "../../kernels/cases/elementwise.ts";
import { gemmCase, type GemmCaseOptions } from "../../kernels/cases/gemm.ts";
import { copyStridedCase } from "../../kernels/cases/layout.ts";
import { randomCase } from "../../kernels/cases/random_numbers.ts";
import { reduceCase, softmaxCase, softmaxGradientCase } from "../../kernels/cases/reduction.ts";
import { castCase, copyCase, fillCase } from "../../kernels/cases/storage.ts";
import { bf16, type CaseOptions, f32, type Operation, operation } from "./operation.ts";

const TOKENS = 16384;
const HIDDEN = 768;
/** Of the tensors: a quarter of a micro-batch by the width of an expert. */
const [ROWS, COLUMNS] = [4096, 3072];
const SIZE = ROWS * COLUMNS;

/**
 * Lists the dense products of a model, on every path.
 *
 * @returns The operations.
 */
export function productOperations(): Operation[] {
  const qkv = { m: TOKENS, n: 1280, k: HIDDEN };
  const dX = { m: TOKENS, n: HIDDEN, k: 1280, transposeB: true };
  const dW = { m: HIDDEN, n: 1280, k: TOKENS, transposeA: true };
  return [
    product("qkv", { ...qkv, storage: "bf16" }, { timed: "gemm qkv 16384 1280 768" }),
    product("qkv dX", { ...dX, storage: "bf16" }, { timed: "gemm qkv dX 16384 768 1280" }),
    product("qkv dW in fp32", { ...dW, storage: "bf16 to f32" }, {
      timed: "gemm qkv dW in fp32 768 1280 16384",
    }),
    product("qkv, on an sm_80", { ...qkv, m: 4096, storage: "bf16" }, { capability: 80 }),
    product("qkv dX, on an sm_80", { ...dX, m: 4096, storage: "bf16" }, { capability: 80 }),
    product("qkv dW in fp32, on an sm_80", { ...dW, k: 4096, storage: "bf16 to f32" }, {
      capability: 80,
    }),
    product("in fp32", { m: 1024, n: 1024, k: 1024 }, {}, false),
    product("of 8 rows", { m: 8, n: 3072, k: HIDDEN, storage: "bf16" }, { bound: "memory" }, false),
  ];
}

function product(
  words: string,
  options: GemmCaseOptions,
  more: Partial<CaseOptions>,
  onTensorCores = true,
): Operation {
  const { m, n, k, transposeA = false, transposeB = false, storage = "f32" } = options;
  const kernelCase = gemmCase(options);
  const bytes = storage === "f32" ? f32 : bf16;
  return operation({
    ...{ group: "Products", name: `gemm ${words}, ${m} x ${n} x ${k}`, bound: "compute" },
    kernelCase,
    inputs: {
      a: transposeA ? bytes(k, m) : bytes(m, k),
      b: transposeB ? bytes(n, k) : bytes(k, n),
    },
    ...onTensorCores ? { operations: kernelCase.flops } : {},
    ...more,
  });
}

/**
 * Lists operations on tensors of 4096 x 3072, in bf16 unless named.
 *
 * @returns The operations.
 */
export function tensorOperations(): Operation[] {
  return [...elementwise(), ...reductions(), ...copies()];
}

function tensor(
  name: string,
  kernelCase: CaseOptions["kernelCase"],
  inputs: NonNullable<CaseOptions["inputs"]>,
  timed?: string,
): Operation {
  return operation({
    ...{ group: "Tensors", name, kernelCase, inputs },
    ...timed === undefined ? {} : { timed },
  });
}

function elementwise(): Operation[] {
  const [x, shape, real] = [bf16(SIZE), [ROWS, COLUMNS], "bf16"] as const;
  return [
    tensor(
      "binary add of two tensors",
      binaryCase("add", shape, shape, { dtype: real }),
      { a: x, b: x },
      "binary add of two tensors",
    ),
    tensor(
      "binary add of a row",
      binaryCase("add", shape, [1, COLUMNS], { dtype: real }),
      { a: x, b: bf16(COLUMNS) },
      "binary add of a row",
    ),
    tensor("unary silu", unaryCase("silu", SIZE, real), { x }, "unary silu"),
    tensor(
      "unary silu gradient",
      unaryGradientCase("silu", SIZE, real),
      { x, y: x, dy: x },
      "unary silu gradient",
    ),
    tensor(
      "accumulate bf16 into bf16",
      accumulateCase(SIZE, 1, [real, real]),
      { target: x, x },
      "accumulate bf16 into bf16",
    ),
    tensor(
      "cast fp32 to bf16",
      castCase("f32", "bf16", "", new Float32Array(SIZE)),
      { source: f32(SIZE) },
      "cast fp32 to bf16",
    ),
    tensor("fill", fillCase("bf16", 0, SIZE), {}, "fill"),
    tensor(
      "random normal, fp32",
      randomCase({
        ...{ distribution: "normal", count: SIZE / 4, a: 0, b: 1 },
        ...{ seed: 7n, operation: 0, step: 1 },
      }),
      {},
      "random normal",
    ),
  ];
}

function reductions(): Operation[] {
  const [x, shape, real] = [bf16(SIZE), [ROWS, COLUMNS], "bf16"] as const;
  const reduce = (axis: number) => reduceCase("sum", shape, [axis], false, real);
  return [
    tensor("reduce sum over rows", reduce(0), { x }, "reduce sum over rows"),
    tensor("reduce sum over columns", reduce(1), { x }, "reduce sum over columns"),
    tensor(
      "reduce sum of fp32",
      reduceCase("sum", [SIZE], [0]),
      { x: f32(SIZE) },
      "reduce sum of fp32",
    ),
    tensor("softmax", softmaxCase(ROWS, COLUMNS, 1, real), { x }, "softmax"),
    tensor(
      "softmax gradient",
      softmaxGradientCase(ROWS, COLUMNS, real),
      { y: x, dy: x },
      "softmax gradient",
    ),
  ];
}

function copies(): Operation[] {
  const [across, strides] = [[COLUMNS, ROWS], [1, COLUMNS]] as const;
  const view = { label: "counted", elements: SIZE };
  return [
    tensor("copy", copyCase(2 * SIZE), { source: bf16(SIZE) }),
    tensor(
      "copy_strided transpose",
      copyStridedCase({ ...view, shape: across, strides, dtype: "bf16" }),
      { source: bf16(SIZE) },
      "copy_strided transpose",
    ),
    tensor(
      "copy_strided transpose of fp32",
      copyStridedCase({ ...view, shape: across, strides }),
      { source: f32(SIZE) },
      "copy_strided transpose of fp32",
    ),
    tensor(
      "copy_strided heads before rows",
      copyStridedCase({
        ...view,
        ...{ shape: [48, ROWS, 64], strides: [64, COLUMNS, 1], dtype: "bf16" },
      }),
      { source: bf16(SIZE) },
      "copy_strided heads before rows",
    ),
  ];
}
