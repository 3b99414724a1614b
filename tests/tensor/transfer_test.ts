import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { cast, read, reshape, ShapeMismatchError, StepState, write } from "../../mod.ts";
import { fromBfloat16, toBfloat16 } from "../../kernels/cases/random.ts";
import { openDevice } from "./open_device.ts";

Deno.test("from() and read() round-trip fp32 numbers bit for bit", async () => {
  using device = await openDevice();
  const numbers = [0, -0, 1.5, -3.25, 1e-42, 3.4e38, Infinity, -Infinity, NaN, Math.fround(0.1)];
  const array = await read(device.from(numbers, [2, 5]));
  assertInstanceOf(array, Float32Array);
  assertEquals([...array], [...Float32Array.from(numbers)]);
});

Deno.test("from() takes anything iterable", async () => {
  using device = await openDevice();
  const expected = [1, 2, 3];
  assertEquals([...await read(device.from(new Set(expected), [3]))], expected);
  assertEquals([...await read(device.from(Float64Array.from(expected), [3]))], expected);
  assertEquals([...await read(device.from(expected.values(), [3, 1]))], expected);
  assertEquals([...await read(device.from([5], []))], [5]);
});

Deno.test("tokens() keeps integers exactly", async () => {
  using device = await openDevice();
  const numbers = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 16_777_217];
  const tokens = device.tokens(numbers);
  assertEquals(tokens.dtype, "i32");
  assertEquals(tokens.shape, [6]);
  const array = await read(tokens);
  assertInstanceOf(array, Int32Array);
  assertEquals([...array], numbers);
});

Deno.test("full(), zeros() and ones() fill a tensor", async () => {
  using device = await openDevice();
  assertEquals([...await read(device.zeros([2, 2]))], [0, 0, 0, 0]);
  assertEquals([...await read(device.ones([3]))], [1, 1, 1]);
  assertEquals([...await read(device.full([], 0.1))], [Math.fround(0.1)]);
});

Deno.test("write() replaces the elements of a tensor and its views", async () => {
  using device = await openDevice();
  const x = device.zeros([2, 2]);
  const view = reshape(x, [4]);
  write(x, [1, 2, 3, 4]);
  assertEquals([...await read(view)], [1, 2, 3, 4]);
  write(view, new Float32Array([5, 6, 7, 8]).subarray(0, 4));
  assertEquals([...await read(x)], [5, 6, 7, 8]);
  const tokens = device.tokens([1, 2]);
  write(tokens, [3, -4]);
  assertEquals([...await read(tokens)], [3, -4]);
});

Deno.test("write() and from() refuse a wrong count", async () => {
  using device = await openDevice();
  const x = device.zeros([2, 2]);
  assertThrows(
    () => write(x, [1, 2, 3]),
    ShapeMismatchError,
    "Cannot write 3 values into a tensor of shape [2, 2]: it holds 4",
  );
  assertThrows(() => device.from([1, 2, 3], [2]), ShapeMismatchError, "3 values");
  assertEquals([...await read(x)], [0, 0, 0, 0]);
});

Deno.test("a shape must consist of positive integers", async () => {
  using device = await openDevice();
  for (const size of [0, -1, 1.5, NaN, Infinity]) {
    assertThrows(
      () => device.zeros([2, size]),
      RangeError,
      "every size must be a positive integer",
    );
  }
  assertThrows(() => device.tokens([]), RangeError, "[0]");
  assertEquals(device.statistics().inUse, 0);
});

/** Any fp32 number, including infinities, NaN and subnormals. */
const anyFloat = fc.float({ noDefaultInfinity: false });

Deno.test("write() rounds to bf16 like cast(): to nearest even", async () => {
  using device = await openDevice();
  // Half-way cases first: 1 + 2^-8 goes down to even, 1 + 3 * 2^-8 up.
  const ties = [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -16, -1 - 2 ** -8];
  const numbers = Float32Array.from([...ties, ...fc.sample(anyFloat, { numRuns: 996, seed: 1 })]);
  const expected = fromBfloat16(toBfloat16(numbers));
  assertEquals([...expected.subarray(0, 4)], [1, 1 + 2 ** -6, 1 + 2 ** -7, -1]);
  const x = cast(device.from(numbers, [numbers.length]), "bf16");
  assertEquals([...await read(x)], [...expected]);
  const y = cast(device.zeros([numbers.length]), "bf16");
  write(y, numbers);
  assertEquals([...await read(y)], [...expected]);
});

Deno.test("cast() truncates to i32 and widens exactly", async () => {
  using device = await openDevice();
  const x = device.from([1.9, -1.9, 0.5, 100_000], [4]);
  assertEquals([...await read(cast(x, "i32"))], [1, -1, 0, 100_000]);
  assertEquals([...await read(cast(device.tokens([3, -7]), "f32"))], [3, -7]);
  const wide = cast(device.from([0.1], [1]), "f64");
  assertInstanceOf(await read(wide), Float64Array);
  assertEquals([...await read(wide)], [Math.fround(0.1)]);
});

Deno.test("f64 storage keeps what fp32 could not", async () => {
  using device = await openDevice();
  const wide = cast(device.zeros([2]), "f64");
  write(wide, [0.1, 1 + 2 ** -50]);
  assertEquals([...await read(wide)], [0.1, 1 + 2 ** -50]);
  using state = new StepState(device, { lambda: 1e-300 });
  assertEquals(state.read().lambda, 1e-300);
});

Deno.test("from() and read() are inverse for any shape and numbers", async () => {
  using device = await openDevice();
  const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 4 });
  const cases = shapes.chain((shape) => {
    const length = shape.reduce((product, size) => product * size, 1);
    return fc.record({
      shape: fc.constant(shape),
      numbers: fc.array(anyFloat, { minLength: length, maxLength: length }),
    });
  });
  await fc.assert(fc.asyncProperty(cases, async ({ shape, numbers }) => {
    using _scope = device.scope();
    const x = device.from(numbers, shape);
    assertEquals(x.size, numbers.length);
    assertEquals([...await read(x)], numbers);
  }));
});
