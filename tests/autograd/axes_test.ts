import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  add,
  checkGradient,
  concatenate,
  type Device,
  isPositive,
  max,
  multiply,
  permute,
  read,
  ShapeMismatchError,
  slice,
  square,
  sum,
  type Tensor,
} from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

/** Distinct numbers expose a misplaced element. */
function counting(device: Device, shape: readonly number[]): Tensor<"f32"> {
  const size = shape.reduce((all, axis) => all * axis, 1);
  return device.from(Array.from({ length: size }, (_, i) => i + 1), shape);
}

/** The element at a position in row-major values. */
function at(values: Float32Array, shape: readonly number[], position: readonly number[]): number {
  return values[shape.reduce((index, size, axis) => index * size + position[axis]!, 0)]!;
}

/** All positions of a shape, row-major. */
function* positions(shape: readonly number[]): Generator<number[]> {
  const [size, ...rest] = shape;
  if (size === undefined) return yield [];
  for (let i = 0; i < size; i++) for (const tail of positions(rest)) yield [i, ...tail];
}

const SHAPES = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });

Deno.test("permute() moves every element where it belongs", async () => {
  using device = await openDevice({ threads: 1 });
  const order = SHAPES.chain((shape) =>
    fc.tuple(
      fc.constant(shape),
      fc.shuffledSubarray(shape.map((_, axis) => axis), { minLength: shape.length }),
    )
  );
  await fc.assert(
    fc.asyncProperty(order, async ([shape, axes]) => {
      using _scope = device.scope();
      const x = counting(device, shape);
      const y = permute(x, axes);
      assertEquals(y.shape, axes.map((axis) => shape[axis]!));
      const [before, after] = [await read(x), await read(y)];
      for (const position of positions(shape)) {
        const moved = axes.map((axis) => position[axis]!);
        assertEquals(at(after, y.shape, moved), at(before, shape, position));
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("concatenate() reassembles what slice() cuts, on every axis", async () => {
  using device = await openDevice({ threads: 1 });
  const cut = SHAPES.chain((shape) =>
    fc.integer({ min: 0, max: shape.length - 1 }).chain((axis) =>
      fc.tuple(
        fc.constant(shape.map((size, i) => i === axis ? size + 1 : size)),
        fc.constantFrom(axis, axis - shape.length),
        fc.integer({ min: 1, max: shape[axis]! }),
      )
    )
  );
  await fc.assert(
    fc.asyncProperty(cut, async ([shape, axis, where]) => {
      using _scope = device.scope();
      const x = counting(device, shape);
      const head = slice(x, { axis, end: where });
      const tail = slice(x, { axis, start: where });
      assertEquals(head.shape.at(axis)! + tail.shape.at(axis)!, shape.at(axis)!);
      const again = concatenate([head, tail], { axis });
      assertEquals([again.shape, await read(again)], [shape, await read(x)]);
      // The first element of the tail is the one at the cut.
      const position = shape.map(() => 0);
      position[axis < 0 ? axis + shape.length : axis] = where;
      assertEquals((await read(tail))[0], at(await read(x), shape, position));
    }),
    { numRuns: 50 },
  );
});

Deno.test("gradients of permute(), slice() and concatenate() match their definitions", async () => {
  using device = await openDevice({ threads: 1, seed: 5 });
  const x = device.normal([2, 3, 4]), y = device.normal([2, 2, 4]);
  const functions: [string, (a: typeof x, b: typeof y) => Tensor<"f32">][] = [
    ["permute", (a, b) => add(sum(square(permute(a, [2, 0, 1]))), sum(b))],
    ["slice", (a, b) => multiply(square(slice(a, { axis: 1, start: 1 })), square(b))],
    ["slice first", (a, b) => multiply(slice(a, { axis: 0, start: 1 }), sum(b))],
    ["concatenate", (a, b) => square(concatenate([a, b, a], { axis: 1 }))],
    [
      "concatenate first",
      (a, b) =>
        square(
          concatenate([a, slice(concatenate([b, b], { axis: 1 }), { axis: 1, end: 3 })], {
            axis: 0,
          }),
        ),
    ],
  ];
  for (const [name, body] of functions) {
    const worst = await checkGradient(body, [x, y]);
    assert(worst.error < 5e-3, `${name}: ${JSON.stringify(worst)}`);
  }
});

Deno.test("max() takes the largest element and routes the gradient to it", async () => {
  using device = await openDevice({ threads: 1 });
  using tape = device.record();
  const x = tape.watch(device.from([1, 5, 3, 7, 7, 2], [2, 3]));
  assertEquals([...await read(max(x, { axis: 1 }))], [5, 7]);
  assertEquals([...await read(max(x, { axis: 0 }))], [7, 7, 3]);
  const factors = device.from([2, 3], [2]);
  tape.backward(sum(multiply(max(x, { axis: -1 }), factors)));
  assertEquals([...await read(tape.gradient(x))], [0, 2, 0, 1.5, 1.5, 0]);
  assertThrows(() => max(x, { axis: 2 }), RangeError, "2 axes");
});

Deno.test("max() of all elements, and isPositive()", async () => {
  using device = await openDevice({ threads: 1, seed: 3 });
  const x = device.normal([5, 7]);
  const values = await read(x);
  assertEquals((await read(max(x)))[0], Math.max(...values));
  assertEquals([...await read(isPositive(x))], [...values].map((value) => value > 0 ? 1 : 0));
  assert((await checkGradient((a) => max(a), [x])).error < 5e-3);
});

Deno.test("mismatches are refused with the shapes", async () => {
  using device = await openDevice({ threads: 1 });
  const x = device.zeros([2, 3]), y = device.zeros([3, 3]);
  assertThrows(() => permute(x, [0, 0]), ShapeMismatchError, "[2, 3] by [0, 0]");
  assertThrows(() => permute(x, [0]), ShapeMismatchError, "2 axes");
  assertThrows(() => concatenate([x, y], { axis: 1 }), ShapeMismatchError, "[2, 3] and [3, 3]");
  assertThrows(() => concatenate([x, y], { axis: 2 }), RangeError, "axis 2");
  assertThrows(() => slice(x, { axis: -3 }), RangeError, "axis -3");
  for (const [start, end] of [[0, 4], [2, 2], [-1, 1], [0, 1.5]] as const) {
    assertThrows(() => slice(x, { axis: 1, start, end }), RangeError, `from ${start} to ${end}`);
  }
});
