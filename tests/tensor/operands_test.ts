import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  add,
  cast,
  causalAttention,
  concatenate,
  crossEntropy,
  defineOperation,
  type Device,
  DeviceError,
  divide,
  embedding,
  exp,
  isPositive,
  log,
  matmul,
  max,
  mean,
  meanSquaredError,
  multiply,
  negate,
  permute,
  read,
  recompute,
  relu,
  reshape,
  rmsNorm,
  rows,
  scale,
  shift,
  sigmoid,
  silu,
  slice,
  softmax,
  sqrt,
  square,
  subtract,
  sum,
  swiglu,
  tanh,
  type Tensor,
  transpose,
  write,
} from "../../mod.ts";
import { openDevice } from "./open_device.ts";

// deno-lint-ignore no-explicit-any -- stands for code that is not type-checked
type Any = any;

/** Every operation with an operand `x` of shape [2, 2]; the other operands match it. */
const OPERATIONS: Readonly<Record<string, (x: Any, device: Device) => unknown>> = {
  add: (x, device) => add(device.ones([2, 2]), x),
  subtract: (x, device) => subtract(x, device.ones([2, 2]) as Any),
  multiply: (x, device) => multiply(x, device.ones([2]) as Any),
  divide: (x, device) => divide(device.ones([2, 2]), x),
  matmul: (x, device) => matmul(x, device.ones([2, 2])),
  "matmul right": (x, device) => matmul(device.ones([2, 2]), x),
  negate,
  exp,
  log,
  sqrt,
  square,
  relu,
  sigmoid,
  silu,
  tanh,
  scale: (x) => scale(x, 2),
  shift: (x) => shift(x, 2),
  sum: (x) => sum(x),
  mean: (x) => mean(x, { axis: 0 }),
  softmax,
  max: (x) => max(x),
  isPositive,
  swiglu,
  rmsNorm: (x, device) => rmsNorm(x, device.ones([2])),
  "rmsNorm weight": (x, device) => rmsNorm(device.ones([2, 4]), reshape(x, [4]) as Any),
  meanSquaredError: (x, device) => meanSquaredError(device.ones([2, 2]), x),
  embedding: (x, device) => embedding(x, device.tokens([0])),
  crossEntropy: (x, device) => crossEntropy(x, device.ones([2, 2]), device.tokens([0, 1])),
  "crossEntropy head": (x, device) => crossEntropy(device.ones([2, 2]), x, device.tokens([0, 1])),
  causalAttention: (x, device) =>
    causalAttention(concatenate([x, device.ones([2, 4])], { axis: 1 }) as Any, {
      sequence: 2,
      heads: 1,
      groups: 1,
    }),
  slice: (x) => slice(x, { axis: 1, end: 1 }),
  rows: (x) => rows(x, 0, 1),
  concatenate: (x, device) => concatenate([device.ones([2, 2]), x], { axis: 0 }),
};

/** Operations that only move or pass on elements. */
const OF_ANY_TYPE: Readonly<Record<string, (x: Any, device: Device) => unknown>> = {
  reshape: (x) => reshape(x, [4]),
  transpose: (x) => transpose(x),
  permute: (x) => permute(x, [1, 0]),
  cast: (x) => cast(x, "f32"),
  recompute: (x) => recompute((y: Tensor) => transpose(y), x),
  defineOperation: (x) =>
    defineOperation({ name: "turn", forward: (y: Any) => transpose(y), backward: () => [] })(x),
  read: (x) => read(x),
  write: (x) => write(x, [1, 2, 3, 4]),
  keep: (x, device) => {
    using scope = device.scope();
    scope.keep(x);
  },
};

/** Those that take bf16 as well, where no other operand is f32. */
const OF_BF16: readonly string[] = [
  ...["negate", "exp", "log", "sqrt", "square", "relu", "sigmoid", "silu", "tanh", "scale"],
  ...["shift", "sum", "mean", "softmax", "max", "isPositive", "swiglu", "rmsNorm", "embedding"],
  ...["slice", "rows"],
];

for (const [name, run] of Object.entries(OPERATIONS)) {
  Deno.test(`${name} refuses operands of dtypes that its kernel does not read`, async () => {
    using device = await openDevice();
    const x = device.from([1, 2, 3, 4], [2, 2]);
    run(x, device); // right as it is
    const takesBf16 = OF_BF16.includes(name);
    if (takesBf16) assertEquals((run(cast(x, "bf16"), device) as Tensor).dtype, "bf16");
    for (const dtype of [...(takesBf16 ? [] : ["bf16"] as const), "i32", "f64"] as const) {
      using _scope = device.scope();
      const error = assertThrows(() => run(cast(x, dtype), device), TypeError, dtype);
      assert(error.message.startsWith("Cannot "), error.message);
    }
  });
}

for (const [name, run] of Object.entries({ ...OPERATIONS, ...OF_ANY_TYPE })) {
  Deno.test(`${name} refuses non-tensors, dead tensors and those of another device`, async () => {
    using device = await openDevice();
    using other = await openDevice();
    const fake = { dtype: "f32", shape: [2, 2], size: 4 };
    for (const value of [undefined, null, 5, "x", [1, 2], fake]) {
      assertThrows(() => run(value, device), TypeError, "was not made by a Device");
    }
    const dead = device.ones([2, 2]);
    dead[Symbol.dispose]();
    const { inUse } = device.statistics();
    {
      using _scope = device.scope();
      assertThrows(() => run(dead, device), ReferenceError, "after its memory was freed");
    }
    assertEquals(device.statistics().inUse, inUse);
    const foreign = other.ones([2, 2]);
    const takesTwo = run.length === 2 && name !== "keep";
    if (takesTwo || name === "keep") {
      assertThrows(() => run(foreign, device), DeviceError, "device");
    }
  });
}

Deno.test("bf16 and integers are computed if a kernel supports them", async () => {
  using device = await openDevice();
  const x = cast(device.from([1, 2, 3, 4], [2, 2]), "bf16");
  assertEquals([...await read(add(x, x))], [2, 4, 6, 8]);
  assertEquals([...await read(matmul(x, x))], [7, 10, 15, 22]);
  const n = device.tokens([1, 7]);
  assertEquals([...await read(multiply(n, n))], [1, 49]);
});
