import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  AdamW,
  causalAttention,
  Device,
  type DeviceOptions,
  embedding,
  matmul,
  mean,
  permute,
  read,
  reshape,
  rmsNorm,
  rows,
  scale,
  ShapeMismatchError,
  shift,
  slice,
  softmax,
  sum,
  write,
} from "../../mod.ts";
import { openDevice } from "./open_device.ts";

// deno-lint-ignore no-explicit-any -- stands for code that is not type-checked
type Any = any;

Deno.test("a shape is an array of positive integers that fit an int32", async () => {
  using device = await openDevice();
  const { blocks } = device.statistics();
  const wrong: readonly Any[] = [
    ...[0, -1, 1.5, NaN, Infinity, "2", null, undefined, 2n, 2 ** 31, 2 ** 32, 2 ** 32 + 2],
  ].map((size) => [2, size]);
  for (const shape of [...wrong, [1, , 2], [2 ** 30, 2 ** 30]] as Any[]) {
    assertThrows(() => device.zeros(shape), RangeError, "Cannot make a tensor of shape [");
    assertThrows(() => reshape(device.ones([2]), shape), RangeError, "Cannot ");
  }
  for (const shape of [undefined, null, 2, "23", { length: 1, 0: 2 }, new Int32Array([2])]) {
    assertThrows(() => device.zeros(shape as Any), TypeError, "a shape is an array of sizes");
  }
  assertEquals(device.statistics().blocks, blocks + wrong.length + 2);
});

Deno.test("changing a shape afterwards does not affect the tensor", async () => {
  using device = await openDevice();
  const shape: number[] = [2, 2];
  const x = device.from([1, 2, 3, 4], shape);
  const sizes: number[] = [4];
  const view = reshape(x, sizes);
  shape[0] = 1000;
  sizes[0] = 1000;
  assertEquals([x.shape, view.shape], [[2, 2], [4]]);
  assertEquals([...await read(sum(x, { axis: 0 }))], [4, 6]);
  assertThrows(() => (x.shape as number[])[0] = 1000, TypeError);
});

/** An array whose indices and iterator disagree. */
class TwoFaced extends Array<number> {
  iterated: readonly number[] = [];

  override *[Symbol.iterator](): ArrayIterator<number> {
    yield* this.iterated;
  }
}

function twoFaced(indexed: readonly number[], iterated: readonly unknown[]): TwoFaced {
  const list = new TwoFaced();
  indexed.forEach((value, i) => list[i] = value);
  list.iterated = iterated as readonly number[];
  return Object.freeze(list);
}

Deno.test("a list is read once, by index, ignoring its iterator", async () => {
  using device = await openDevice();
  const near = device.full([16], 4);
  const shape = twoFaced([300, 300], [1]);
  assertEquals(device.zeros(shape).size, 90_000);
  assertEquals(reshape(device.zeros([6]), twoFaced([2, 3], [6])).shape, [2, 3]);
  assertThrows(() => device.from([1], shape), ShapeMismatchError, "[300, 300]");
  assertEquals([...await read(device.from(twoFaced([1, 2], ["x", 3]), [2]))], [1, 2]);
  assertEquals([...await read(device.tokens(twoFaced([1, 2], [1.7, "9"])))], [1, 2]);
  const swapped = permute(device.from([1, 2, 3, 4], [2, 2]), twoFaced([1, 0], [7]) as never);
  assertEquals([...await read(swapped)], [1, 3, 2, 4]);
  assertEquals([...await read(near)], Array(16).fill(4));
});

Deno.test("a typed array is copied as it is in memory", async () => {
  using device = await openDevice();
  class Floats extends Float32Array<ArrayBuffer> {
    override *[Symbol.iterator](): ArrayIterator<number> {
      yield 9;
    }
  }
  const floats = new Floats(new Float32Array([1, 2]).buffer);
  assertEquals([...await read(device.from(floats, [2]))], [1, 2]);
  Object.defineProperty(floats, "length", { value: 100 });
  assertThrows(() => device.from(floats, [100]), ShapeMismatchError, "2 values");
});

Deno.test("a shape of endless axes is refused before it is read", async () => {
  using device = await openDevice();
  assertThrows(() => device.zeros(new Array(2 ** 31)), RangeError, "2147483648 axes");
});

Deno.test("a tensor's type, shape and size cannot be assigned", async () => {
  using device = await openDevice();
  const x: Any = device.ones([2]);
  for (const name of ["dtype", "shape", "size", "storage", "memory", "address"]) {
    assertThrows(() => x[name] = [1000], TypeError, name);
  }
});

Deno.test("a tensor's sizes cannot be shadowed", async () => {
  using device = await openDevice();
  using parameter = device.parameter([2]);
  for (const tensor of [device.ones([2]), parameter] as Any[]) {
    for (const name of ["shape", "size", "address", "storage", "dtype"]) {
      const value = { value: [1000] };
      assertThrows(() => Object.defineProperty(tensor, name, value), TypeError, "not extensible");
    }
    assertThrows(() => Object.setPrototypeOf(tensor, {}), TypeError, "not extensible");
    const posing = Object.create(tensor, {
      shape: { value: [2] },
      size: { value: 2 },
      dtype: { value: "f32" },
      address: { value: 1024n },
      storage: { value: {} },
      requireAlive: { value: () => {} },
    });
    assertThrows(() => scale(posing, 1), TypeError, "was not made by a Device");
    assertThrows(() => new AdamW(device, [posing]), TypeError, "not a parameter of this library");
  }
});

Deno.test("elements are numbers, and integers in an integer tensor", async () => {
  using device = await openDevice();
  const { blocks } = device.statistics();
  for (const value of ["1", null, undefined, 1n, true, {}] as Any[]) {
    assertThrows(() => device.from([1, value], [2]), TypeError, "as element 1");
  }
  assertThrows(() => device.from([1, , 2] as Any, [3]), TypeError, "as element 1");
  assertThrows(() => device.from(new BigInt64Array(2) as Any, [2]), TypeError, "as element 0");
  assertThrows(() => device.from("12" as Any, [2]), TypeError, "as element 0");
  for (const value of [undefined, null, 5, {}, new DataView(new ArrayBuffer(8))] as Any[]) {
    assertThrows(() => device.from(value, [2]), TypeError, "give an array of numbers");
  }
  for (const value of [undefined, null, 5, {}] as Any[]) {
    assertThrows(() => device.tokens(value), TypeError, "give an array of numbers");
  }
  for (const value of [0.5, NaN, Infinity, 2 ** 31, -(2 ** 31) - 1, "1", null] as Any[]) {
    assertThrows(() => device.tokens([7, value]), RangeError, "as element 1");
  }
  assertThrows(() => device.tokens(Float32Array.of(1, 1.5)), RangeError, "as element 1");
  assertThrows(() => device.tokens(Uint32Array.of(2 ** 32 - 1)), RangeError, "as element 0");
  assertEquals(device.statistics().blocks, blocks);
  const tokens = device.tokens([1, 2]);
  assertThrows(() => write(tokens, [1, 2.5]), RangeError, "2.5");
  assertEquals([...await read(tokens)], [1, 2]);
  assertEquals([...await read(device.tokens(Uint8Array.of(1, 255)))], [1, 255]);
});

Deno.test("a device refuses options that it would misread", async () => {
  const wrong: readonly Any[] = [
    { kind: "gpu" },
    { kind: 1 },
    ...[1.5, NaN, -1, "1", 2 ** 31, null].map((threads) => ({ threads })),
    ...[1.5, NaN, -1, "1", 1n, 2 ** 53, null].map((seed) => ({ seed })),
    { library: 5 },
    { debug: "no" },
  ];
  for (const options of wrong) {
    const [name] = Object.keys(options);
    const open = () => Device.open(options as DeviceOptions);
    const error = await assertRejects(open, Error, `Cannot open a device: ${name} is`);
    assertEquals(error instanceof TypeError || error instanceof RangeError, true);
  }
  await assertRejects(() => Device.open("cpu" as Any), TypeError, "expected an object");
});

Deno.test("random and filled tensors refuse invalid distributions", async () => {
  using device = await openDevice();
  const { blocks } = device.statistics();
  for (const value of [NaN, Infinity, 1e300, "1", null] as Any[]) {
    assertThrows(() => device.normal([2], { mean: value }), RangeError, "mean");
    assertThrows(() => device.normal([2], { deviation: value }), RangeError, "deviation");
    assertThrows(() => device.parameter([2], { deviation: value }), RangeError, "deviation");
    assertThrows(() => device.uniform([2], { low: value }), RangeError, "low");
    assertThrows(() => device.uniform([2], { high: value }), RangeError, "high");
  }
  assertThrows(() => device.normal([2], { deviation: -1 }), RangeError, "at least 0");
  assertThrows(() => device.uniform([2], { low: 5, high: 1 }), RangeError, "from 5 to 1");
  assertThrows(() => device.uniform([2], { low: -3e38, high: 3e38 }), RangeError, "high - low");
  assertThrows(() => device.normal([2], 5 as Any), TypeError, "options");
  assertThrows(() => device.parameter([2], { name: 5 as Any }), TypeError, "name");
  assertThrows(() => device.parameter([2], { decay: "no" as Any }), TypeError, "decay");
  for (const value of ["1", null, undefined, 1n] as Any[]) {
    assertThrows(() => device.full([2], value), TypeError, "expected a number");
  }
  assertEquals(device.statistics().blocks, blocks);
  assertEquals([...await read(device.full([1], NaN))], [NaN]);
});

Deno.test("numbers among the arguments of operations are checked", async () => {
  using device = await openDevice();
  const x = device.ones([2, 6]);
  for (const value of ["2", null, undefined, 2n, [2]] as Any[]) {
    assertThrows(() => scale(x, value), TypeError, "the factor");
    assertThrows(() => shift(x, value), TypeError, "the offset");
  }
  assertEquals([...await read(scale(device.ones([1]), NaN))], [NaN]);
  for (const axis of [2, -3, 0.5, NaN, "0", null] as Any[]) {
    assertThrows(() => sum(x, { axis }), RangeError, "axes");
    assertThrows(() => slice(x, { axis }), RangeError, "axes");
  }
  // As in other libraries; the axis would otherwise be silently ignored.
  assertThrows(() => sum(x, 1 as Any), TypeError, "expected an object");
  assertThrows(() => mean(x, null as Any), TypeError, "expected an object");
  for (const epsilon of ["1", NaN, null] as Any[]) {
    assertThrows(() => rmsNorm(x, device.ones([6]), epsilon), RangeError, "epsilon");
  }
  for (const order of [[0], [0, 0], [0, 2], ["0", "1"], "01", null] as Any[]) {
    assertThrows(() => permute(x, order), RangeError, "Cannot permute [2, 6]");
  }
  for (const end of [0, 3, 1.5, NaN, "1"] as Any[]) {
    assertThrows(() => rows(x, 0, end), RangeError, "rows");
    assertThrows(() => slice(x, { axis: 0, end }), RangeError, "slice");
  }
});

Deno.test("attention refuses invalid sizes", async () => {
  using device = await openDevice();
  const qkv = device.ones([2, 6]);
  const right = { sequence: 2, heads: 1, groups: 1 };
  causalAttention(qkv, right);
  for (const name of ["sequence", "heads", "groups"] as const) {
    for (const value of [0, -1, 0.5, NaN, "1", null, 2 ** 31] as Any[]) {
      const options = { ...right, [name]: value };
      assertThrows(() => causalAttention(qkv, options), RangeError, `${name} is`);
    }
  }
  for (const ropeBase of [0, -1, NaN, Infinity, "1"] as Any[]) {
    assertThrows(() => causalAttention(qkv, { ...right, ropeBase }), RangeError, "ropeBase is");
  }
  assertThrows(() => causalAttention(qkv, { ...right, inPlace: 1 as Any }), TypeError, "inPlace");
  assertThrows(() => causalAttention(qkv, undefined as Any), TypeError, "options");
});

Deno.test("unsupported ranks are refused with the shapes", async () => {
  using device = await openDevice();
  const scalar: Any = device.ones([]);
  const vector: Any = device.ones([2]);
  const matrix: Any = device.ones([2, 2]);
  const wrong: Readonly<Record<string, () => unknown>> = {
    "matmul [] and": () => matmul(scalar, matrix),
    "matmul [2, 2] and [2]": () => matmul(matrix, vector),
    "apply rmsNorm to []": () => rmsNorm(scalar, vector),
    "apply rmsNorm to [2, 2] with weight [1, 2]": () => rmsNorm(matrix, device.ones([1, 2]) as Any),
    "embed tokens [1] with a table of shape [2]": () => embedding(vector, device.tokens([0])),
    "embed tokens [1, 1]": () => embedding(matrix, reshape(device.tokens([0]), [1, 1]) as Any),
    "rows of a scalar": () => rows(scalar, 0, 1),
  };
  for (const [message, run] of Object.entries(wrong)) {
    assertThrows(run, RangeError, message);
  }
  assertEquals([...await read(softmax(scalar))], [1]);
});
