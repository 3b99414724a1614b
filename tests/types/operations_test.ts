import { assertType, type IsExact } from "@std/testing/types";
import {
  add,
  cast,
  concatenate,
  crossEntropy,
  type Device,
  dim,
  divide,
  embedding,
  matmul,
  max,
  mean,
  meanSquaredError,
  multiply,
  permute,
  relu,
  reshape,
  rmsNorm,
  rows,
  slice,
  subtract,
  sum,
  type Tensor,
  transpose,
} from "../../mod.ts";

// The compiler is the test: the code below is type-checked but never run, since the tensors do not
// exist.
declare const device: Device;
declare const n: number;
declare const bf16: Tensor<"bf16", readonly [3, 4]>;
const hidden = dim("hidden", 64);
const experts = dim("experts", 8);
const tokens = dim("tokens", 512);

function unchecked(_body: () => void): void {}

Deno.test("matmul()'s type has the outer sizes", () => {
  unchecked(() => {
    const a = device.zeros([2, 3]);
    const literal = matmul(a, device.zeros([3, 5]));
    assertType<IsExact<typeof literal.shape, readonly [2, 5]>>(true);
    assertType<IsExact<typeof literal.dtype, "f32">>(true);
    const left = matmul(device.zeros([n, 3]), device.zeros([3, 7]));
    assertType<IsExact<typeof left.shape, readonly [number, 7]>>(true);
    const inner = matmul(a, device.zeros([n, 7]));
    assertType<IsExact<typeof inner.shape, readonly [2, 7]>>(true);
    const batched = matmul(device.zeros([4, 2, 3]), device.zeros([3, 7]));
    assertType<IsExact<typeof batched.shape, readonly [4, 2, 7]>>(true);
    const unknown: Tensor<"f32"> = matmul(a as Tensor<"f32">, a as Tensor<"f32">);
    void unknown;
  });
});

Deno.test("a user-defined layer takes any number of rows", () => {
  unchecked(() => {
    const weight = device.parameter([3, 4]), bias = device.parameter([4]);
    const layer = <T extends number>(x: Tensor<"f32", readonly [T, 3]>) =>
      multiply(add(matmul(x, weight), bias), bias);
    const y = layer(device.zeros([7, 3]));
    assertType<IsExact<typeof y.shape, readonly [7, 4]>>(true);
    // @ts-expect-error a row of 3 does not fit rows of 4
    add(device.zeros([2, 4]), device.zeros([3]));
    const one = add(device.zeros([2, 4]), device.zeros([1]));
    assertType<IsExact<typeof one.shape, readonly [2, 4]>>(true);
  });
});

Deno.test("permute(), slice() and concatenate() keep the shapes that are known", () => {
  unchecked(() => {
    const x = device.zeros([2, 3, 4]);
    const permuted = permute(x, [2, 0, 1]);
    assertType<IsExact<typeof permuted.shape, readonly [4, 2, 3]>>(true);
    const last = slice(x, { axis: -1, start: 1 });
    assertType<IsExact<typeof last.shape, readonly [2, 3, number]>>(true);
    const first = slice(x, { axis: 0, end: 1 });
    assertType<IsExact<typeof first.shape, readonly [number, 3, 4]>>(true);
    const middle = slice(x, { axis: 1, end: 1 });
    assertType<IsExact<typeof middle.shape, readonly [2, number, 4]>>(true);
    const second = slice(x, { axis: -2, end: 1 });
    assertType<IsExact<typeof second.shape, readonly [number, number, number]>>(true);
    const joined = concatenate([x, device.zeros([2, 5, 4])], { axis: 1 });
    assertType<IsExact<typeof joined.shape, readonly [2, number, 4]>>(true);
    const largest = max(x, { axis: -1 });
    assertType<IsExact<typeof largest.shape, readonly [2, 3]>>(true);
    const weight = device.parameter([3, 4]);
    assertType<IsExact<typeof weight.shape, readonly [3, 4]>>(true);
    const product = matmul(x as unknown as Tensor<"f32", readonly [2, 3]>, weight);
    assertType<IsExact<typeof product.shape, readonly [2, 4]>>(true);
  });
});

Deno.test("matmul() refuses mismatched inner sizes, axis names and dtypes", () => {
  unchecked(() => {
    const a = device.zeros([2, 3]);
    // @ts-expect-error 3 is not 4
    matmul(a, device.zeros([4, 5]));
    // @ts-expect-error 3 is not 4, with leading axes
    matmul(device.zeros([7, 2, 3]), device.zeros([4, 5]));
    // @ts-expect-error the right side needs two axes
    matmul(a, device.zeros([3, 4, 5]));
    // @ts-expect-error f32 is not bf16
    matmul(a, bf16);
    // @ts-expect-error hidden is not experts
    matmul(device.zeros([tokens, hidden]), device.zeros([experts, hidden]));
    // @ts-expect-error a name is not a literal
    matmul(device.zeros([tokens, hidden]), device.zeros([64, 5]));
  });
});

Deno.test("matmul() keeps axis names", () => {
  unchecked(() => {
    const logits = matmul(device.zeros([tokens, hidden]), device.zeros([hidden, experts]));
    assertType<IsExact<typeof logits.shape, readonly [typeof tokens, typeof experts]>>(true);
    assertType<IsExact<typeof logits.shape, readonly [typeof tokens, typeof hidden]>>(false);
  });
});

Deno.test("add(), subtract(), multiply() and divide() broadcast their types", () => {
  unchecked(() => {
    const a = device.zeros([2, 3]);
    const same = add(a, device.zeros([2, 3]));
    assertType<IsExact<typeof same.shape, readonly [2, 3]>>(true);
    const row = subtract(a, device.zeros([3]));
    assertType<IsExact<typeof row.shape, readonly [2, 3]>>(true);
    const column = multiply(device.zeros([2, 1]), device.zeros([1, 3]));
    assertType<IsExact<typeof column.shape, readonly [2, 3]>>(true);
    const lifted = divide(device.zeros([3]), device.zeros([4, 2, 3]));
    assertType<IsExact<typeof lifted.shape, readonly [4, 2, 3]>>(true);
    const scalar = add(device.zeros([]), a);
    assertType<IsExact<typeof scalar.shape, readonly [2, 3]>>(true);
    // @ts-expect-error 3 and 4 do not broadcast
    add(a, device.zeros([2, 4]));
    // @ts-expect-error 2 and 3 do not broadcast, with fewer axes
    multiply(a, device.zeros([2]));
    // @ts-expect-error f32 is not bf16
    add(device.zeros([3, 4]), bf16);
    // @ts-expect-error hidden is not experts
    subtract(device.zeros([tokens, hidden]), device.zeros([tokens, experts]));
  });
});

Deno.test("reshape(), transpose(), cast() and rows() have precise shape types", () => {
  unchecked(() => {
    const reshaped = reshape(device.zeros([2, 6]), [3, 4]);
    assertType<IsExact<typeof reshaped.shape, readonly [3, 4]>>(true);
    const turned = transpose(device.zeros([5, 2, 3]));
    assertType<IsExact<typeof turned.shape, readonly [5, 3, 2]>>(true);
    const named = transpose(device.zeros([tokens, hidden]));
    assertType<IsExact<typeof named.shape, readonly [typeof hidden, typeof tokens]>>(true);
    const rounded = cast(device.zeros([2, 3]), "bf16");
    assertType<IsExact<typeof rounded, Tensor<"bf16", readonly [2, 3]>>>(true);
    const some = rows(device.zeros([9, 3, 2]), 1, 3);
    assertType<IsExact<typeof some.shape, readonly [number, 3, 2]>>(true);
    // @ts-expect-error a wrong product of the transpose
    matmul(turned, device.zeros([3, 1]));
  });
});

Deno.test("sum() and mean() drop the axis from the type", () => {
  unchecked(() => {
    const x = device.zeros([2, 3, 4]);
    const all = sum(x);
    assertType<IsExact<typeof all.shape, readonly []>>(true);
    const last = sum(x, { axis: -1 });
    assertType<IsExact<typeof last.shape, readonly [2, 3]>>(true);
    const first = mean(x, { axis: 0 });
    assertType<IsExact<typeof first.shape, readonly [3, 4]>>(true);
  });
});

Deno.test("operations keep f32 and bf16 apart", () => {
  unchecked(() => {
    const x = device.zeros([3, 4]);
    const total = sum(bf16, { axis: 0 });
    assertType<IsExact<typeof total, Tensor<"bf16", readonly [4]>>>(true);
    const positive = relu(bf16);
    assertType<IsExact<typeof positive, Tensor<"bf16", readonly [3, 4]>>>(true);
    const normed = rmsNorm(bf16, device.zeros([4]));
    assertType<IsExact<typeof normed, Tensor<"bf16", readonly [3, 4]>>>(true);
    const found = embedding(bf16, device.tokens([1, 2] as const));
    assertType<IsExact<typeof found, Tensor<"bf16", readonly [2, 4]>>>(true);
    const loss = meanSquaredError(bf16, bf16);
    assertType<IsExact<typeof loss, Tensor<"f32", readonly []>>>(true);
    const joined = concatenate([bf16, bf16], { axis: 0 });
    assertType<IsExact<typeof joined, Tensor<"bf16", readonly [number, 4]>>>(true);
    // @ts-expect-error f32 is not bf16
    meanSquaredError(x, bf16);
    // @ts-expect-error f32 is not bf16
    concatenate([x, bf16], { axis: 0 });
    // @ts-expect-error the weight of a norm is always f32
    rmsNorm(bf16, bf16);
    // @ts-expect-error the head is of another type
    crossEntropy(bf16, device.zeros([4, 9]), device.tokens([1, 2, 3] as const));
    // @ts-expect-error integers are no activations
    relu(device.tokens([1, 2]));
    // @ts-expect-error a loss is f32
    device.record().backward(sum(bf16));
  });
});

Deno.test("backward() accepts only a scalar", () => {
  unchecked(() => {
    using tape = device.record();
    const x = device.zeros([2, 3]);
    tape.backward(sum(x));
    tape.backward(meanSquaredError(x, device.zeros([2, 3])));
    // @ts-expect-error not a scalar
    tape.backward(x);
    // @ts-expect-error one number, but a vector
    tape.backward(device.zeros([1]));
    // @ts-expect-error 3 is not 4
    meanSquaredError(x, device.zeros([2, 4]));
  });
});

Deno.test("gradient()'s type has the watched tensor's shape", () => {
  unchecked(() => {
    using tape = device.record();
    const x = tape.watch(device.zeros([2, 3]));
    assertType<IsExact<typeof x, Tensor<"f32", readonly [2, 3]>>>(true);
    const gradient = tape.gradient(x);
    assertType<IsExact<typeof gradient, Tensor<"f32", readonly [2, 3]>>>(true);
    const half = tape.gradient(tape.watch(bf16));
    assertType<IsExact<typeof half, Tensor<"bf16", readonly [3, 4]>>>(true);
  });
});

Deno.test("Tensor is covariant: a list of tensors holds any tensor", () => {
  unchecked(() => {
    const tall = device.zeros([4, 2, 3]);
    const list: Tensor[] = [tall, device.tokens([1, 2]), bf16];
    const floats: Tensor<"f32">[] = [tall, relu(tall)];
    const narrower: Tensor<"f32" | "bf16", readonly [number, number]>[] = [
      device.zeros([tokens, hidden]),
      bf16,
    ];
    void [list, floats, narrower];
    // @ts-expect-error i32 is not f32
    floats.push(device.tokens([1, 2]));
    // @ts-expect-error three axes are not two
    narrower.push(tall);
  });
});

Deno.test("an operation over generic sizes checks its caller's literals", () => {
  function project<T extends number, H extends number>(
    x: Tensor<"f32", readonly [T, H]>,
    w: Tensor<"f32", readonly [NoInfer<H>, 8]>,
  ): Tensor<"f32", readonly [T, 8]> {
    return matmul(x, w);
  }
  unchecked(() => {
    const y = project(device.zeros([5, 3]), device.zeros([3, 8]));
    assertType<IsExact<typeof y.shape, readonly [5, 8]>>(true);
    // @ts-expect-error 3 is not 4
    project(device.zeros([5, 3]), device.zeros([4, 8]));
  });
});

Deno.test("tokens()'s type has the length of a literal list", () => {
  unchecked(() => {
    const literal = device.tokens([1, 2, 3] as const);
    assertType<IsExact<typeof literal.shape, readonly [3]>>(true);
    const buffer = device.tokens(new Int32Array(4));
    assertType<IsExact<typeof buffer.shape, readonly [number]>>(true);
  });
});
