import { BinaryCode, UnaryCode } from "../../lib/ffi/mod.ts";
import {
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import type { Random } from "./random.ts";
import { binary, type BinaryName, unary, type UnaryName } from "./reference/elementwise.ts";
import { coordinatesOf, denseStrides, elementsOf, flatIndex } from "./reference/layout.ts";
import { dot } from "./reference/reduction.ts";
import { type Activations, activations, type Real } from "./stored.ts";
import { EXACT, plus, rounded, type Tolerance } from "./tolerance.ts";

/** The parameter of `scale` and `shift`. */
const PARAMETER = -1.75;

/**
 * A case of `remoe_binary`.
 *
 * @param name The operation.
 * @param a Shape of the left operand, of the result's rank; an axis of 1 is broadcast.
 * @param b Shape of the right operand.
 * @param options Whether a is read through reversed strides (its transpose), and the element type.
 * @returns The case.
 */
export function binaryCase(
  name: BinaryName,
  a: readonly number[],
  b: readonly number[],
  { transposed = false, dtype: real }: { transposed?: boolean; dtype?: Real } = {},
): OperationCase {
  const inDtype = activations(real);
  const { dtype, code, bytes, suffix, rounding } = inDtype;
  const shape = a.map((size, axis) => Math.max(size, b[axis]!));
  const dense = transposed ? denseStrides(a.toReversed()).toReversed() : denseStrides(a);
  const aStrides = dense.map((stride, axis) => a[axis] === 1 ? 0 : stride);
  const bStrides = denseStrides(b).map((stride, axis) => b[axis] === 1 ? 0 : stride);
  const layout = Int32Array.of(shape.length, ...shape, ...aStrides, ...bStrides);
  const count = elementsOf(shape);
  const order = transposed ? " transposed" : "";
  return operationCase({
    name: `binary ${name} [${a}]${order} [${b}]${suffix}`,
    operation: "binary",
    symbols: ["remoe_binary"],
    flops: count,
    bytes: bytes * (elementsOf(a) + elementsOf(b) + count),
    dtype,
    inputs: (random) => ({
      a: operand(random, elementsOf(a), inDtype),
      b: operand(random, elementsOf(b), inDtype),
    }),
    outputs: { target: output(shape, plus(rounded(1), rounding), dtype) },
    call(k, at) {
      const status = k.symbols.remoe_binary(
        k.handle,
        BinaryCode[name],
        code,
        at("target"),
        at("a"),
        at("b"),
        layout,
      );
      k.check(status, "binary");
    },
    reference: (inputs) => ({
      target: Float64Array.from(
        coordinatesOf(shape).map((at) =>
          binary(name, inputs.a[flatIndex(at, aStrides)]!, inputs.b[flatIndex(at, bStrides)]!)
        ),
      ),
    }),
  });
}

/** Numbers of both signs that are safe to divide by. */
function operand(random: Random, count: number, { store }: Activations) {
  const values = random.uniform(count, { scale: 1, mean: 2 }).map((value) =>
    random.next() < 0.5 ? -value : value
  );
  return store(values);
}

/** The accuracy expected of each function: a kernel may use a vectorised polynomial. */
const UNARY_TOLERANCES: Readonly<Record<UnaryName, Tolerance>> = {
  negate: EXACT,
  exp: rounded(6),
  log: rounded(4, 1),
  sqrt: rounded(1),
  square: rounded(1),
  relu: EXACT,
  sigmoid: rounded(6),
  silu: rounded(7),
  tanh: rounded(4, 1),
  scale: rounded(1),
  shift: rounded(1),
};

/** Draws arguments inside the domain, away from ReLU's kink and poles of derivatives. */
function unaryArguments(random: Random, name: UnaryName, count: number): Float32Array<ArrayBuffer> {
  if (name === "log" || name === "sqrt") return random.uniform(count, { scale: 2, mean: 2.5 });
  return random.uniform(count, { scale: 6 }).map((x) => Math.abs(x) < 0.01 ? x + 0.02 : x);
}

/** Arguments at which exponentials overflow or vanish in fp32. */
const EXTREME = [0, -0, 1e-30, -1e-30, 20, -20, 88, -88, 100, -100, 1000, -1000];

/**
 * A case of `remoe_unary`.
 *
 * @param name The function.
 * @param count Elements; if absent, the arguments at which naive formulas overflow.
 * @param real Element type, fp32 by default.
 * @returns The case.
 */
export function unaryCase(name: UnaryName, count?: number, real?: Real): OperationCase {
  const { dtype, code, bytes, suffix, rounding, store, round } = activations(real);
  const elements = count ?? EXTREME.length;
  return operationCase({
    name: `unary ${name} ${count === undefined ? "of extreme arguments" : `[${count}]`}${suffix}`,
    operation: "unary",
    symbols: ["remoe_unary"],
    flops: elements,
    bytes: 2 * bytes * elements,
    dtype,
    inputs: (random) => ({
      x: store(
        count === undefined ? Float32Array.from(EXTREME) : unaryArguments(random, name, count),
      ),
    }),
    outputs: {
      target: output(
        [elements],
        UNARY_TOLERANCES[name] === EXACT ? EXACT : plus(UNARY_TOLERANCES[name], rounding),
        dtype,
      ),
    },
    call(k, at) {
      const status = k.symbols.remoe_unary(
        k.handle,
        UnaryCode[name],
        code,
        at("target"),
        at("x"),
        PARAMETER,
        BigInt(elements),
      );
      k.check(status, "unary");
    },
    // In the dtype's range: values that overflow there are infinite.
    reference: ({ x }) => ({
      target: x.map((value) => {
        const exact = unary(name, value, PARAMETER);
        const [held] = round(Float32Array.of(exact));
        return Number.isFinite(held) ? exact : held!;
      }),
    }),
  });
}

/**
 * A case of `remoe_unary_gradient`.
 *
 * @param name The function.
 * @param count Elements.
 * @param real Element type, fp32 by default.
 * @returns The case.
 */
export function unaryGradientCase(name: UnaryName, count: number, real?: Real): GradientCase {
  const { dtype, code, bytes, suffix, rounding, store } = activations(real);
  return gradientCase({
    name: `unary_gradient ${name} [${count}]${suffix}`,
    operation: "unary_gradient",
    symbols: ["remoe_unary_gradient"],
    flops: 4 * count,
    bytes: 3 * bytes * count,
    dtype,
    ...dtype === "f32" ? {} : { inFp32: () => unaryGradientCase(name, count) },
    inputs: (random) => ({
      x: store(unaryArguments(random, name, count)),
      dy: store(random.normal(count)),
    }),
    // exp' reaches e^6 and has a relative error; the bounded derivatives (tanh, sigmoid) cancel
    // near 1.
    outputs: { dx: output([count], plus(rounded(8, 1), rounding), dtype) },
    gradients: { dx: { of: "x", bit: 0 } },
    call(k, at, accumulate) {
      const status = k.symbols.remoe_unary_gradient(
        k.handle,
        UnaryCode[name],
        code,
        at("dx"),
        at("dy"),
        at("x"),
        PARAMETER,
        BigInt(count),
        accumulate,
      );
      k.check(status, "unary_gradient");
    },
    loss: ({ x, dy }) => dot(dy, x.map((value) => unary(name, value, PARAMETER))),
  });
}

/** The derivative of ReLU at 0 is 0, consistent with the router's rule "active means above 0". */
function reluKinkCase(real?: Real): OperationCase {
  const { dtype, code, suffix, store } = activations(real);
  return operationCase({
    name: `unary_gradient relu at 0${suffix}`,
    operation: "unary_gradient",
    symbols: ["remoe_unary_gradient"],
    flops: 6,
    bytes: 72,
    dtype,
    inputs: () => ({
      x: store(Float32Array.of(0, -0, 1e-30, -1e-30, 3, -3)),
      dy: store(new Float32Array(6).fill(2)),
    }),
    outputs: { dx: output([6], EXACT, dtype) },
    call(k, at) {
      const { relu } = UnaryCode;
      const addresses = [at("dx"), at("dy"), at("x")] as const;
      const status = k.symbols.remoe_unary_gradient(
        k.handle,
        relu,
        code,
        ...addresses,
        0,
        6n,
        0,
      );
      k.check(status, "unary_gradient");
    },
    reference: () => ({ dx: [0, 0, 2, 0, 2, 0] }),
  });
}

/**
 * A case of `remoe_accumulate`.
 *
 * @param count Elements.
 * @param scale The factor.
 * @param dtypes Element types of the target and of x, fp32 by default.
 * @returns The case.
 */
export function accumulateCase(
  count: number,
  scale: number,
  dtypes: readonly [target: Real, x: Real] = ["f32", "f32"],
): OperationCase {
  const [target, term] = [activations(dtypes[0]), activations(dtypes[1])];
  const isBf16 = dtypes.includes("bf16");
  return operationCase({
    name: `accumulate [${count}] times ${scale}${isBf16 ? ` ${dtypes[1]} to ${dtypes[0]}` : ""}`,
    operation: "accumulate",
    symbols: ["remoe_accumulate"],
    flops: 2 * count,
    bytes: (2 * target.bytes + term.bytes) * count,
    dtype: isBf16 ? "bf16" : "f32",
    inputs: (random) => ({
      target: target.store(random.normal(count)),
      x: term.store(random.normal(count)),
    }),
    outputs: { target: output([count], plus(rounded(2, 1), target.rounding), dtypes[0]) },
    call(k, at) {
      const status = k.symbols.remoe_accumulate(
        k.handle,
        target.code,
        at("target"),
        term.code,
        at("x"),
        scale,
        BigInt(count),
      );
      k.check(status, "accumulate");
    },
    reference: ({ target, x }) => ({
      target: target.map((value, i) => value + Math.fround(scale) * x[i]!),
    }),
  });
}

const BINARIES: readonly BinaryName[] = ["add", "subtract", "multiply", "divide"];
const UNARIES = Object.keys(UNARY_TOLERANCES) as UnaryName[];
const OVERFLOWING: readonly UnaryName[] = ["exp", "sigmoid", "silu", "tanh", "relu"];

/** Cases of elementwise operations. */
export const ELEMENTWISE_CASES: readonly OperationCase[] = [
  ...BINARIES.map((name) => binaryCase(name, [257, 9], [257, 9])),
  ...BINARIES.map((name) => binaryCase(name, [19, 1], [1, 23])),
  binaryCase("add", [], []),
  binaryCase("add", [1], [1]),
  binaryCase("multiply", [5, 7], [1, 1]),
  binaryCase("subtract", [1, 1], [5, 7]),
  binaryCase("add", [16, 128], [1, 128]),
  binaryCase("multiply", [33, 5], [33, 1]),
  binaryCase("divide", [4, 3, 5], [4, 1, 5]),
  binaryCase("subtract", [12, 31], [12, 31], { transposed: true }),
  binaryCase("add", [2, 1, 2, 1, 2, 1, 2, 3], [1, 2, 1, 2, 1, 2, 1, 3]),
  ...BINARIES.map((name) => binaryCase(name, [3, 50], [3, 50], { dtype: "bf16" })),
  ...BINARIES.map((name) => binaryCase(name, [19, 1], [1, 23], { dtype: "bf16" })),
  binaryCase("add", [16, 128], [1, 128], { dtype: "bf16" }),
  binaryCase("subtract", [12, 31], [12, 31], { transposed: true, dtype: "bf16" }),
  ...UNARIES.flatMap((name) => [1, 17, 1003].map((count) => unaryCase(name, count))),
  ...OVERFLOWING.map((name) => unaryCase(name)),
  reluKinkCase(),
  accumulateCase(1, 2),
  accumulateCase(1003, -0.3),
  ...UNARIES.map((name) => unaryCase(name, 1003, "bf16")),
  ...OVERFLOWING.map((name) => unaryCase(name, undefined, "bf16")),
  reluKinkCase("bf16"),
  accumulateCase(1003, -0.3, ["bf16", "bf16"]),
  accumulateCase(1003, -0.3, ["bf16", "f32"]),
  accumulateCase(1003, -0.3, ["f32", "bf16"]),
];

/** Cases of elementwise gradients. */
export const ELEMENTWISE_GRADIENT_CASES: readonly GradientCase[] = [
  ...UNARIES.flatMap((name) => [1, 37].map((count) => unaryGradientCase(name, count))),
  ...UNARIES.map((name) => unaryGradientCase(name, 37, "bf16")),
];
