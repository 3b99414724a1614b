import { ReductionCode } from "../../lib/ffi/mod.ts";
import {
  doubled,
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { elementsOf } from "./reference/layout.ts";
import { dot, reduce, type ReductionName, softmax } from "./reference/reduction.ts";
import { activations, type Real } from "./stored.ts";
import { EXACT, plus, rounded, summed } from "./tolerance.ts";

/**
 * A case of `remoe_reduce`.
 *
 * @param name The reduction.
 * @param shape Shape of x.
 * @param axes The axes to reduce.
 * @param accumulate Whether the result is added to the contents of the target.
 * @param real Element type, fp32 by default.
 * @returns The case.
 */
export function reduceCase(
  name: ReductionName,
  shape: readonly number[],
  axes: readonly number[],
  accumulate = false,
  real?: Real,
): OperationCase {
  const { dtype, code, bytes, suffix, rounding, store } = activations(real);
  const flags = shape.map((_, axis) => axes.includes(axis));
  const kept = shape.filter((_, axis) => !flags[axis]);
  const [count, results] = [elementsOf(shape), elementsOf(kept)];
  const terms = count / results;
  // The contract promises a pairwise or blocked sum, whose error grows more slowly than the length.
  const length = Math.min(terms, 16 * Math.sqrt(terms));
  const scale = name === "mean" ? 1 / terms : 1;
  const layout = Int32Array.of(shape.length, ...shape, ...flags.map(Number));
  return operationCase({
    name: `reduce ${name} [${shape}] over [${axes}]${accumulate ? ", accumulating" : ""}${suffix}`,
    operation: "reduce",
    symbols: ["remoe_reduce"],
    flops: count,
    bytes: bytes * (count + results),
    dtype,
    inputs: (random) => ({
      x: store(random.normal(count)),
      ...(accumulate ? { target: store(random.normal(results)) } : {}),
    }),
    outputs: {
      target: output(
        kept,
        name === "maximum" && !accumulate ? EXACT : plus(summed(length + 1, scale), rounding),
        dtype,
      ),
    },
    call(k, at) {
      const status = k.symbols.remoe_reduce(
        k.handle,
        ReductionCode[name],
        code,
        at("target"),
        at("x"),
        layout,
        Number(accumulate),
      );
      k.check(status, "reduce");
    },
    reference: ({ x, target }) => ({
      target: reduce(name, x, shape, flags).map((value, i) => value + (target?.[i] ?? 0)),
    }),
  });
}

/**
 * A case of `remoe_softmax`.
 *
 * @param rows Rows.
 * @param columns Columns.
 * @param scale Spread of the logits.
 * @param real Element type, fp32 by default.
 * @returns The case.
 */
export function softmaxCase(
  rows: number,
  columns: number,
  scale = 1,
  real?: Real,
): OperationCase {
  const { dtype, code, bytes, suffix, rounding, store } = activations(real);
  const count = rows * columns;
  return operationCase({
    name: `softmax [${rows},${columns}]${scale === 1 ? "" : ` with logits of ${scale}`}${suffix}`,
    operation: "softmax",
    symbols: ["remoe_softmax"],
    flops: 4 * count,
    bytes: 2 * bytes * count,
    dtype,
    inputs: (random) => ({ x: store(random.normal(count, { scale })) }),
    // x - maximum is rounded at the magnitude of the logits, and exp makes that error relative.
    outputs: {
      target: output(
        [rows, columns],
        plus(plus(rounded(8 + 4 * scale), summed(2, 2 / columns)), rounding),
        dtype,
      ),
    },
    call(k, at) {
      k.check(
        k.symbols.remoe_softmax(k.handle, code, at("target"), at("x"), rows, columns),
        "softmax",
      );
    },
    reference: ({ x }) => ({ target: softmax(x, columns) }),
  });
}

/**
 * A case of `remoe_softmax_gradient`.
 *
 * @param rows Rows.
 * @param columns Columns.
 * @param real Element type, fp32 by default.
 * @returns The case.
 */
export function softmaxGradientCase(rows: number, columns: number, real?: Real): GradientCase {
  const { dtype, code, bytes, suffix, rounding, store, boundaries } = activations(real);
  const count = rows * columns;
  // y, whose terms <dy, y> sums and then multiplies by y, comes rounded; its largest is about 12
  // times the mean, and its norm below 2 / sqrt(columns).
  const [largest, norm] = [Math.min(1, 12 / columns), Math.min(1, 2 / Math.sqrt(columns))];
  const given = boundaries(largest * norm, 1);
  return gradientCase({
    name: `softmax_gradient [${rows},${columns}]${suffix}`,
    operation: "softmax_gradient",
    symbols: ["remoe_softmax_gradient"],
    flops: 4 * count,
    bytes: 3 * bytes * count,
    dtype,
    ...dtype === "f32" ? {} : { inFp32: () => softmaxGradientCase(rows, columns) },
    inputs: (random) => {
      const x = store(random.normal(count));
      const dy = store(random.normal(count));
      return { x, dy, y: store(Float32Array.from(softmax(doubled(x), columns))) };
    },
    outputs: {
      dx: output(
        [rows, columns],
        plus(rounded(6, 2 / Math.sqrt(columns)), plus(given, rounding)),
        dtype,
      ),
    },
    gradients: { dx: { of: "x", bit: 0 } },
    call(k, at, accumulate) {
      const addresses = [at("dx"), at("dy"), at("y")] as const;
      const status = k.symbols.remoe_softmax_gradient(
        k.handle,
        code,
        ...addresses,
        rows,
        columns,
        accumulate,
      );
      k.check(status, "softmax_gradient");
    },
    loss: ({ x, dy }) => dot(dy, softmax(x, columns)),
  });
}

const REDUCTIONS: readonly ReductionName[] = ["sum", "mean", "maximum"];

/** Cases of reductions and softmax. */
export const REDUCTION_CASES: readonly OperationCase[] = [
  ...REDUCTIONS.flatMap((name) => [
    reduceCase(name, [37, 53], [0]),
    reduceCase(name, [37, 53], [1]),
    reduceCase(name, [37, 53], [0, 1]),
    reduceCase(name, [5, 6, 7], [0, 2]),
    reduceCase(name, [5, 6, 7], [1]),
    reduceCase(name, [1], [0]),
    reduceCase(name, [100_003], [0]),
  ]),
  reduceCase("sum", [], []),
  reduceCase("sum", [7, 3], []),
  reduceCase("sum", [4096, 128], [0]),
  reduceCase("maximum", [2, 3, 2, 2, 1, 3, 2, 2], [1, 3, 5, 7]),
  reduceCase("sum", [33, 9], [0], true),
  reduceCase("mean", [33, 9], [1], true),
  softmaxCase(1, 1),
  softmaxCase(3, 7),
  softmaxCase(257, 8),
  softmaxCase(5, 1000),
  softmaxCase(4, 33, 300),
  ...REDUCTIONS.flatMap((name) => [
    reduceCase(name, [37, 53], [0], false, "bf16"),
    reduceCase(name, [37, 53], [1], false, "bf16"),
    reduceCase(name, [37, 53], [0, 1], false, "bf16"),
    reduceCase(name, [5, 6, 7], [1], false, "bf16"),
  ]),
  reduceCase("sum", [100_003], [0], false, "bf16"),
  reduceCase("sum", [33, 9], [0], true, "bf16"),
  reduceCase("mean", [33, 9], [1], true, "bf16"),
  softmaxCase(1, 1, 1, "bf16"),
  softmaxCase(257, 8, 1, "bf16"),
  softmaxCase(5, 1000, 1, "bf16"),
  softmaxCase(4, 33, 300, "bf16"),
];

/** Cases of their gradients. */
export const REDUCTION_GRADIENT_CASES: readonly GradientCase[] = [
  softmaxGradientCase(1, 1),
  softmaxGradientCase(3, 7),
  softmaxGradientCase(64, 8),
  softmaxGradientCase(2, 500),
  softmaxGradientCase(1, 1, "bf16"),
  softmaxGradientCase(64, 8, "bf16"),
  softmaxGradientCase(2, 500, "bf16"),
];
