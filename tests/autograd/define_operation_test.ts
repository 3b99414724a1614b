import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  add,
  defineOperation,
  exp,
  multiply,
  read,
  reshape,
  scale,
  ShapeMismatchError,
  sigmoid,
  square,
  sum,
  type Tensor,
  write,
} from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { assertGradients } from "./gradient_check.ts";

/** a · b² with hand-written derivatives. */
const weighted = defineOperation({
  name: "weighted",
  forward: (a: Tensor<"f32">, b: Tensor<"f32">) => multiply(a, square(b)),
  backward: ({ inputs: [a, b], gradient }) => [
    multiply(gradient, square(b)),
    multiply(gradient, scale(multiply(a, b), 2)),
  ],
});

Deno.test("defineOperation() makes an operation with its own derivative", async () => {
  using device = await openDevice();
  await assertGradients(device, {
    name: "weighted",
    inputs: [{ shape: [3, 4] }, { shape: [3, 4] }],
    run: (_, [a, b]) => weighted(a!, b!),
    reference: ([a, b]) => a!.map((x, i) => x * b![i]! ** 2),
  });
});

Deno.test("the derivative may use the result", async () => {
  using device = await openDevice();
  const logistic = defineOperation({
    name: "logistic",
    forward: (x: Tensor<"f32">) => sigmoid(x),
    backward: ({ output, gradient }) => [
      multiply(gradient, add(output, scale(square(output), -1))),
    ],
  });
  await assertGradients(device, {
    name: "logistic",
    inputs: [{ shape: [6] }],
    run: (_, [x]) => logistic(x!),
    reference: ([x]) => x!.map((v) => 1 / (1 + Math.exp(-v))),
  });
});

Deno.test("the given derivative is used, even if it is not the true one", async () => {
  using device = await openDevice();
  const straightThrough = defineOperation({
    name: "straightThrough",
    forward: (x: Tensor<"f32", readonly [2]>) => exp(x),
    backward: ({ gradient }) => [gradient],
  });
  using tape = device.record();
  const x = tape.watch(device.from([1, 2], [2]));
  tape.backward(sum(scale(straightThrough(x), 3)));
  assertEquals([...await read(tape.gradient(x))], [3, 3]);
});

Deno.test("null stands for an input without a gradient", async () => {
  using device = await openDevice();
  const firstOnly = defineOperation({
    name: "firstOnly",
    forward: (a: Tensor<"f32">, b: Tensor<"f32">) => multiply(a, b),
    backward: ({ inputs: [, b], gradient }) => [multiply(gradient, b), null],
  });
  using tape = device.record();
  const [a, b] = [tape.watch(device.ones([2])), tape.watch(device.full([2], 5))];
  tape.backward(sum(firstOnly(a, b)) as Tensor<"f32", readonly []>);
  assertEquals([...await read(tape.gradient(a))], [5, 5]);
  assertEquals([...await read(tape.gradient(b))], [0, 0]);
});

Deno.test("a gradient whose shape differs from its input's is refused", async () => {
  using device = await openDevice();
  const wrong = defineOperation({
    name: "wrong",
    forward: (x: Tensor<"f32">) => square(x),
    backward: ({ gradient }) => [reshape(gradient, [6])],
  });
  using tape = device.record();
  const x = tape.watch(device.ones([2, 3]));
  const loss = sum(wrong(x)) as Tensor<"f32", readonly []>;
  const error = assertThrows(() => tape.backward(loss), ShapeMismatchError);
  const { message } = error as Error;
  for (const part of ["wrong", "[6]", "[2, 3]"]) assertStringIncludes(message, part);
});

Deno.test("a forward that returns one of its inputs is refused", async () => {
  using device = await openDevice();
  const nothing = defineOperation({
    name: "nothing",
    forward: (x: Tensor<"f32">) => x,
    backward: ({ gradient }) => [gradient],
  });
  assertThrows(() => nothing(device.ones([2])), Error, "nothing");
});

Deno.test("a forward's temporaries are freed at once", async () => {
  using device = await openDevice();
  using tape = device.record();
  const [a, b] = [tape.watch(device.ones([100])), device.ones([100])];
  const { blocks } = device.statistics();
  weighted(a, b);
  assertEquals(device.statistics().blocks, blocks + 1);
});

type Pair = Tensor<"f32", readonly [2]>;

/** An operation with the given forward; its gradient is five times the incoming one. */
const fivefold = (forward: (x: Pair) => Pair) =>
  defineOperation({ name: "op", forward, backward: ({ gradient }) => [scale(gradient, 5)] });

Deno.test("a backward that writes into its gradient is refused: other operations share it", async () => {
  using device = await openDevice();
  const clip = defineOperation({
    name: "clip",
    forward: (x: Pair) => scale(x, 1),
    backward: ({ gradient }) => {
      write(gradient, [100, 100]);
      return [gradient];
    },
  });
  using tape = device.record();
  const x = tape.watch(device.ones([2])), z = tape.watch(device.ones([2]));
  const loss = sum(add(z, clip(x)));
  assertThrows(() => tape.backward(loss), Error, "clip returned: its backward wrote");
});

Deno.test("a backward may dispose of its gradient without affecting others", async () => {
  using device = await openDevice();
  const once = defineOperation({
    name: "once",
    forward: (x: Pair) => square(x),
    backward: ({ inputs: [x], gradient }) => {
      const own = scale(multiply(x, gradient), 2);
      gradient[Symbol.dispose]();
      return [own];
    },
  });
  using tape = device.record();
  const x = tape.watch(device.from([1, 2], [2])), z = tape.watch(device.ones([2]));
  tape.backward(sum(add(z, once(x))));
  assertEquals([...await read(tape.gradient(x))], [2, 4]);
  assertEquals([...await read(tape.gradient(z))], [1, 1]);
});

Deno.test("a forward that returns a parameter, or a tensor of the tape, is refused", async () => {
  using device = await openDevice();
  using weight = device.parameter([2]);
  using tape = device.record();
  const x = tape.watch(device.ones([2])), z = tape.watch(device.ones([2]));
  const y = scale(z, 2);
  let memo: Pair | undefined;
  const memoised = fivefold((x) => memo ??= scale(x, 1));
  memoised(x);
  for (const op of [fivefold(() => weight), fivefold(() => y), fivefold(() => z), memoised]) {
    assertThrows(() => op(x), Error, "a parameter, or a tensor that a tape knows already");
  }
});

Deno.test("a constant that a forward returns gets no gradient from its other uses", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.ones([2])), constant = device.full([2], 3);
  tape.backward(sum(add(fivefold(() => constant)(x), scale(constant, 7))));
  assertEquals([...await read(tape.gradient(x))], [5, 5]);
});

Deno.test("a forward may return its input in another shape", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.ones([2]));
  tape.backward(sum(add(fivefold((x) => reshape(x, [2]))(x), x)));
  assertEquals([...await read(tape.gradient(x))], [6, 6]);
});
