import { BinaryCode, DTypeCode, UnaryCode } from "../../lib/ffi/mod.ts";
import {
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { type Random, toBfloat16 } from "./random.ts";
import { binary, type BinaryName, unary, type UnaryName } from "./reference/elementwise.ts";
import { coordinatesOf, denseStrides, elementsOf, flatIndex } from "./reference/layout.ts";
import { dot } from "./reference/reduction.ts";
import { EXACT, rounded, type Tolerance } from "./tolerance.ts";

/** The tolerance of one rounding to bfloat16. */
const BF16_ROUNDING: Tolerance = { rtol: 2 ** -8, atol: 0 };
/** The parameter of `scale` and `shift`. */
const PARAMETER = -1.75;

/**
 * A case of `remoe_binary`.
 *
 * @param name The operation.
 * @param a Shape of the left operand, of the result's rank; an axis of 1 is broadcast.
 * @param b Shape of the right operand.
 * @param options Whether a is read through reversed strides (its transpose), and whether bfloat16
 * is used.
 * @returns The case.
 */
export function binaryCase(
  name: BinaryName,
  a: readonly number[],
  b: readonly number[],
  { transposed = false, bf16 = false }: { transposed?: boolean; bf16?: boolean } = {},
): OperationCase {
  const shape = a.map((size, axis) => Math.max(size, b[axis]!));
  const dense = transposed ? denseStrides(a.toReversed()).toReversed() : denseStrides(a);
  const aStrides = dense.map((stride, axis) => a[axis] === 1 ? 0 : stride);
  const bStrides = denseStrides(b).map((stride, axis) => b[axis] === 1 ? 0 : stride);
  const layout = Int32Array.of(shape.length, ...shape, ...aStrides, ...bStrides);
  const count = elementsOf(shape);
  const order = transposed ? " transposed" : "";
  return operationCase({
    name: `binary ${name} [${a}]${order} [${b}]${bf16 ? " bf16" : ""}`,
    operation: "binary",
    symbols: ["remoe_binary"],
    flops: count,
    bytes: (bf16 ? 2 : 4) * (elementsOf(a) + elementsOf(b) + count),
    mayBeUnsupported: bf16,
    inputs: (random) => ({
      a: operand(random, elementsOf(a), bf16),
      b: operand(random, elementsOf(b), bf16),
    }),
    outputs: { target: output(shape, bf16 ? BF16_ROUNDING : rounded(1), bf16 ? "bf16" : "f32") },
    call(k, at) {
      const status = k.symbols.remoe_binary(
        k.handle,
        BinaryCode[name],
        bf16 ? DTypeCode.bf16 : DTypeCode.f32,
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
function operand(
  random: Random,
  count: number,
  bf16: boolean,
): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> {
  const values = random.uniform(count, { scale: 1, mean: 2 }).map((value) =>
    random.next() < 0.5 ? -value : value
  );
  return bf16 ? toBfloat16(values) : values;
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
 * @returns The case.
 */
export function unaryCase(name: UnaryName, count?: number): OperationCase {
  const elements = count ?? EXTREME.length;
  return operationCase({
    name: `unary ${name} ${count === undefined ? "of extreme arguments" : `[${count}]`}`,
    operation: "unary",
    symbols: ["remoe_unary"],
    flops: elements,
    bytes: 8 * elements,
    inputs: (random) => ({
      x: count === undefined ? Float32Array.from(EXTREME) : unaryArguments(random, name, count),
    }),
    outputs: { target: output([elements], UNARY_TOLERANCES[name]) },
    call(k, at) {
      const status = k.symbols.remoe_unary(
        k.handle,
        UnaryCode[name],
        DTypeCode.f32,
        at("target"),
        at("x"),
        PARAMETER,
        BigInt(elements),
      );
      k.check(status, "unary");
    },
    // In fp32's range: values that overflow there are infinite.
    reference: ({ x }) => ({ target: x.map((value) => inRange(unary(name, value, PARAMETER))) }),
  });
}

/** Overflows as fp32 does, without rounding other values. */
function inRange(value: number): number {
  return Number.isFinite(Math.fround(value)) ? value : Math.fround(value);
}

/**
 * A case of `remoe_unary_gradient`.
 *
 * @param name The function.
 * @param count Elements.
 * @returns The case.
 */
export function unaryGradientCase(name: UnaryName, count: number): GradientCase {
  return gradientCase({
    name: `unary_gradient ${name} [${count}]`,
    operation: "unary_gradient",
    symbols: ["remoe_unary_gradient"],
    flops: 4 * count,
    bytes: 12 * count,
    inputs: (random) => ({
      x: unaryArguments(random, name, count),
      dy: random.normal(count),
    }),
    // exp' reaches e^6 and has a relative error; the bounded derivatives (tanh, sigmoid) cancel
    // near 1.
    outputs: { dx: output([count], rounded(8, 1)) },
    gradients: { dx: { of: "x", bit: 0 } },
    call(k, at, accumulate) {
      const status = k.symbols.remoe_unary_gradient(
        k.handle,
        UnaryCode[name],
        DTypeCode.f32,
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
function reluKinkCase(): OperationCase {
  return operationCase({
    name: "unary_gradient relu at 0",
    operation: "unary_gradient",
    symbols: ["remoe_unary_gradient"],
    flops: 6,
    bytes: 72,
    inputs: () => ({
      x: Float32Array.of(0, -0, 1e-30, -1e-30, 3, -3),
      dy: new Float32Array(6).fill(2),
    }),
    outputs: { dx: output([6], EXACT) },
    call(k, at) {
      const { relu } = UnaryCode;
      const addresses = [at("dx"), at("dy"), at("x")] as const;
      const status = k.symbols.remoe_unary_gradient(
        k.handle,
        relu,
        DTypeCode.f32,
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
 * @returns The case.
 */
export function accumulateCase(count: number, scale: number): OperationCase {
  return operationCase({
    name: `accumulate [${count}] times ${scale}`,
    operation: "accumulate",
    symbols: ["remoe_accumulate"],
    flops: 2 * count,
    bytes: 12 * count,
    inputs: (random) => ({ target: random.normal(count), x: random.normal(count) }),
    outputs: { target: output([count], rounded(2, 1)) },
    call(k, at) {
      const status = k.symbols.remoe_accumulate(
        k.handle,
        DTypeCode.f32,
        at("target"),
        DTypeCode.f32,
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
  binaryCase("multiply", [3, 50], [3, 50], { bf16: true }),
  ...UNARIES.flatMap((name) => [1, 17, 1003].map((count) => unaryCase(name, count))),
  ...OVERFLOWING.map((name) => unaryCase(name)),
  reluKinkCase(),
  accumulateCase(1, 2),
  accumulateCase(1003, -0.3),
];

/** Cases of elementwise gradients. */
export const ELEMENTWISE_GRADIENT_CASES: readonly GradientCase[] = UNARIES.flatMap((name) =>
  [1, 37].map((count) => unaryGradientCase(name, count))
);
