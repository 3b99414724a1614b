import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  cast,
  checkGradient,
  defineOperation,
  exp,
  matmul,
  multiply,
  read,
  scale,
  softmax,
  type Tensor,
} from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

Deno.test("checkGradient() accepts correct derivatives", async () => {
  using device = await openDevice({ threads: 1, seed: 8 });
  const x = device.normal([4, 5]), w = device.normal([5, 3]);
  const worst = await checkGradient((a, b) => softmax(matmul(a, b)), [x, w]);
  assert(worst.error < 5e-3, JSON.stringify(worst));
});

Deno.test("checkGradient() finds a wrong derivative, and says where", async () => {
  using device = await openDevice({ threads: 1, seed: 8 });
  type Pair = readonly [Tensor<"f32", readonly [6]>, Tensor<"f32", readonly [6]>];
  const wrong = defineOperation<Pair, Tensor<"f32">>({
    name: "product",
    forward: (x, y) => multiply(x, y),
    backward: ({ inputs: [x, y], gradient }) => [
      multiply<"f32", readonly [6]>(gradient as Tensor<"f32", readonly [6]>, y),
      scale(x, 2),
    ],
  });
  const x = device.normal([6]), y = device.normal([6]);
  const before = await read(x);
  const worst = await checkGradient(wrong, [x, y]);
  assertEquals(worst.input, 1);
  assert(worst.error > 0.1 && worst.index >= 0 && worst.index < 6);
  assertEquals(await read(x), before);
});

Deno.test("checkGradient() leaves no memory and no trace on a tape", async () => {
  using device = await openDevice({ threads: 1 });
  const x = device.ones([3]);
  const { blocks } = device.statistics();
  await checkGradient((a) => exp(a), [x]);
  assertEquals(device.statistics().blocks, blocks);
  assertThrows(() => checkGradient(() => x, []), RangeError, "at least one input");
});

Deno.test("checkGradient() rejects gradients that are partly non-finite", async () => {
  using device = await openDevice({ threads: 1 });
  // e^88.72 is the largest that fp32 holds: one step further, the first difference is infinite.
  for (const values of [[88.72, 1, 1], [1, 88.72, 1], [NaN, 1, 1], [1, 1, Infinity]]) {
    const { error } = await checkGradient((a) => exp(a), [device.from(values, [3])]);
    assertEquals(error, NaN, String(values));
  }
});

Deno.test("checkGradient() tells right derivatives of bf16 from wrong ones", async () => {
  using device = await openDevice({ threads: 1, seed: 8 });
  const x = cast(device.normal([4, 5]), "bf16"), w = cast(device.normal([5, 3]), "bf16");
  const right = await checkGradient((a, b) => softmax(matmul(a, b)), [x, w]);
  assert(right.error < 0.1, JSON.stringify(right));
  const mixed = await checkGradient((a, b) => matmul(cast(a, "f32"), b), [x, cast(w, "f32")]);
  assert(mixed.error < 0.02, JSON.stringify(mixed));
  const doubled = defineOperation({
    name: "scaled",
    forward: (y: Tensor<"bf16">) => scale(y, 3),
    backward: ({ gradient }) => [scale(gradient, 2)],
  });
  assert((await checkGradient(doubled, [x])).error > 0.2);
});
