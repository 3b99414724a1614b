import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  cast,
  causalAttention,
  checkGradient,
  crossEntropy,
  defineOperation,
  DeviceError,
  multiply,
  read,
  recompute,
  relu,
  rmsNorm,
  rows,
  scale,
  square,
  sum,
  type Tensor,
} from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

// deno-lint-ignore no-explicit-any -- stands for code that is not type-checked
type Any = any;

Deno.test("a closed recording refuses to work, and closing it twice is harmless", async () => {
  using device = await openDevice();
  using x = device.ones([2]);
  const tape = device.record();
  tape.watch(x);
  using loss = tape.keep(sum(x));
  tape[Symbol.dispose]();
  tape[Symbol.dispose]();
  const { blocks } = device.statistics();
  assertThrows(() => tape.watch(x), Error, "the recording is closed");
  assertThrows(() => tape.backward(loss), Error, "the recording is closed");
  assertThrows(() => tape.gradient(x), Error, "the recording is closed");
  assertThrows(() => tape.keep(x), Error, "the scope is closed");
  assertEquals(device.statistics().blocks, blocks);
  assertEquals([...await read(x)], [1, 1]);
});

Deno.test("a scope refuses to keep a tensor of another device, which it could not free", async () => {
  using device = await openDevice();
  using other = await openDevice();
  using foreign = other.ones([2]);
  {
    using scope = device.scope();
    assertThrows(() => scope.keep(foreign), DeviceError, "another device");
    using tape = device.record();
    assertThrows(() => tape.watch(foreign), DeviceError, "another device");
  }
  assertEquals([...await read(foreign)], [1, 1]);
});

Deno.test("integer tensors cannot be watched", async () => {
  using device = await openDevice();
  using tape = device.record();
  assertThrows(() => tape.watch(device.tokens([1])), TypeError, "Cannot watch an i32 tensor");
});

Deno.test("a watched parameter uses its own gradient", async () => {
  using device = await openDevice();
  using weight = device.parameter([2]);
  using tape = device.record();
  tape.watch(weight);
  tape.backward(sum(scale(weight, 3)));
  assertEquals([...await read(tape.gradient(weight))], [3, 3]);
});

Deno.test("a nested recording does not take a watched tensor from the outer one", async () => {
  using device = await openDevice();
  using outer = device.record();
  const x = outer.watch(device.ones([2]));
  {
    using inner = device.record();
    assertThrows(() => inner.watch(x), Error, "another open recording tracks");
  }
  outer.backward(sum(square(x)));
  assertEquals([...await read(outer.gradient(x))], [2, 2]);
});

Deno.test("backward() refuses non-numeric factors, and losses of other dtypes", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.ones([2]));
  const loss = sum(x);
  for (const scale of ["1", NaN, null, 1n] as Any[]) {
    assertThrows(() => tape.backward(loss, { scale }), RangeError, "scale is");
  }
  assertThrows(() => tape.backward(loss, 2 as Any), TypeError, "options");
  assertThrows(() => tape.backward(cast(loss, "bf16") as Any), TypeError, "bf16");
  tape.backward(loss);
  assertEquals([...await read(tape.gradient(x))], [1, 1]);
});

Deno.test("attention rotates in place only what nothing else reads", async () => {
  using device = await openDevice();
  const options = { sequence: 2, heads: 1, groups: 1, inPlace: true };
  using weight = device.parameter([2, 6]);
  assertThrows(() => causalAttention(weight, options), Error, "in place");
  using tape = device.record();
  const x = tape.watch(device.normal([2, 6]));
  const before = [...await read(x)];
  assertThrows(() => causalAttention(x, options), Error, "in place");
  assertEquals([...await read(x)], before);
  const projected = scale(x, 2);
  const loss = sum(square(projected)); // reads it again in the backward pass
  causalAttention(projected, options);
  assertThrows(() => tape.backward(loss), Error, "Cannot run square backward");
});

Deno.test("one tensor may be both operands", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1, 2], [2]));
  tape.backward(sum(multiply(x, x)));
  assertEquals([...await read(tape.gradient(x))], [2, 4]);
});

Deno.test("kernels that write two gradients add them if both belong to one tensor", async () => {
  using device = await openDevice({ seed: 3 });
  const row = device.normal([16]);
  const square = device.normal([16, 16]);
  const tokens: Any = device.tokens(Array.from({ length: 16 }, (_, i) => i));
  const norm = await checkGradient((x) => rmsNorm(x, x), [row]);
  const entropy = await checkGradient((x) => crossEntropy(x, x, tokens).loss, [square]);
  for (const { error } of [norm, entropy]) assert(error < 0.01, `off by ${error}`);
});

Deno.test("gradients of a user-defined operation must match its inputs", async () => {
  using device = await openDevice();
  using other = await openDevice();
  const gave = (results: (gradient: Tensor<"f32">) => Any) => {
    using tape = device.record();
    const x = tape.watch(device.ones([2]));
    const operation = defineOperation({
      name: "mine",
      forward: (y: Tensor<"f32", readonly [2]>) => relu(y),
      backward: ({ gradient }) => results(gradient),
    });
    tape.backward(sum(operation(x)));
  };
  assertThrows(() => gave(() => undefined), TypeError, "that mine returned");
  assertThrows(() => gave((g) => [g, g]), TypeError, "at most 1");
  assertThrows(() => gave(() => [5]), TypeError, "that mine returned");
  assertThrows(() => gave((g) => [cast(g, "i32")]), TypeError, "i32");
  assertThrows(() => gave(() => [other.ones([2])]), DeviceError, "another device");
  gave(() => [null]);
  gave(() => []);
  assertThrows(() => defineOperation(null as Any), TypeError, "options");
  assertThrows(() => defineOperation({ name: "x" } as Any), TypeError, "forward is undefined");
});

Deno.test("recompute() refuses a function that returns another shape the second time", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.ones([4, 2]));
  let calls = 0;
  const y = recompute((v: Any) => rows(v, 0, calls++ === 0 ? 4 : 1) as Tensor<"f32">, x);
  assertThrows(() => tape.backward(sum(y)), RangeError, "Cannot recompute");
});

Deno.test("recompute() accepts integer inputs", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.ones([2]));
  const tokens = device.tokens([3, 5]);
  const y = recompute((v, t) => multiply(v, cast(t, "f32")), x, tokens);
  tape.backward(sum(y));
  assertEquals([...await read(tape.gradient(x))], [3, 5]);
});

Deno.test("checkGradient() refuses steps and samples that check nothing", async () => {
  using device = await openDevice();
  const x = device.ones([2]);
  const check = (options: Any) => async () => await checkGradient(square as Any, [x], options);
  for (const step of [0, -1, NaN, "1"]) await assertRejects(check({ step }), RangeError, "step");
  for (const samples of [0, -1, 1.5, NaN, "1"]) {
    await assertRejects(check({ samples }), RangeError, "samples");
  }
  const none = async () => await checkGradient(5 as Any, [x]);
  await assertRejects(none, TypeError, "expected a function");
  await assertRejects(async () => await checkGradient(square as Any, null as Any), TypeError);
  const cut = async () => await checkGradient((v: Any) => cast(v, "i32") as Any, [x]);
  await assertRejects(cut, TypeError, "i32");
});

Deno.test("changing the options afterwards does not affect the backward pass", async () => {
  using device = await openDevice({ seed: 1 });
  const gradientOf = async (change: (options: Any) => void): Promise<number[]> => {
    using tape = device.record();
    const x = tape.watch(device.from(Array.from({ length: 24 }, (_, i) => Math.sin(i)), [4, 6]));
    const options = { sequence: 4, heads: 1, groups: 1 };
    const loss = sum(square(causalAttention(x, options)));
    change(options);
    tape.backward(loss);
    return [...await read(tape.gradient(x))];
  };
  const right = await gradientOf(() => {});
  assertEquals(await gradientOf((options) => options.sequence = 2), right);
  assertEquals(await gradientOf((options) => options.heads = 4000), right);
});
