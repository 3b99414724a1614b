import { assert, assertEquals, assertThrows } from "@std/assert";
import { ConfigError, KeyValueCache, read, ShapeMismatchError } from "@remoe/remoe";
import { openDevice } from "../tensor/open_device.ts";

const SIZES = { layers: 2, groups: 2, headDim: 4, batch: 3, capacity: 8 };

Deno.test("`KeyValueCache` refuses invalid sizes", async () => {
  using device = await openDevice();
  for (const wrong of [0, -1, 1.5, NaN, 2 ** 31, "2", null, undefined]) {
    for (const name of Object.keys(SIZES)) {
      const options = { ...SIZES, [name]: wrong } as typeof SIZES;
      assertThrows(() => new KeyValueCache(device, options), ConfigError, "Cannot make a cache");
    }
  }
  assertEquals(device.statistics().blocks, 0);
});

Deno.test("`KeyValueCache.fill()` refuses tensors that it would read out of bounds", async (t) => {
  using device = await openDevice();
  using cache = new KeyValueCache(device, SIZES);
  const columns = 24; // two query heads, two groups of keys and values
  const calls: readonly (readonly [string, () => void, string])[] = [
    ["a sequence longer than the rows", () => cache.fill(0, device.ones([2, 16]), 3_000_000), "8"],
    ["a sequence beyond the capacity", () => cache.fill(0, device.ones([27, columns]), 9), "to 8"],
    ["fewer rows than sequences", () => cache.fill(0, device.ones([1, columns]), 1), "[3, 16 or"],
    ["too few columns", () => cache.fill(0, device.ones([3, 15]), 1), "[3, 15]"],
    ["one axis", () => cache.fill(0, device.ones([48]) as never, 1), "[48]"],
    ["a layer that is not there", () => cache.fill(2, device.ones([3, columns]), 1), "from 0 to 1"],
    ["half a layer", () => cache.fill(0.5, device.ones([3, columns]), 1), "layer is 0.5"],
    ["no sequence", () => cache.fill(0, device.ones([3, columns]), 0), "sequence is 0"],
  ];
  for (const [name, call, message] of calls) {
    await t.step(name, () => {
      assertThrows(call, RangeError, message);
    });
  }
  await t.step("keys and values that fit", () => cache.fill(1, device.ones([6, columns]), 2));
});

Deno.test("`KeyValueCache.attend()` refuses mismatched heads, rows and columns", async (t) => {
  using device = await openDevice();
  using cache = new KeyValueCache(device, SIZES);
  const attend = (rows: number, columns: number, heads: number, base = 1e4, layer = 0) => () =>
    cache.attend(layer, device.ones([rows, columns]), heads, base);
  await t.step("one row for three sequences", () => {
    assertThrows(attend(1, 24, 2), ShapeMismatchError, "[1, 24]: it needs [3, 24]");
  });
  await t.step("columns of other heads", () => {
    assertThrows(attend(3, 24, 4), ShapeMismatchError, "[3, 32]");
  });
  await t.step("heads that do not divide", () => {
    assertThrows(attend(3, 28, 3), RangeError, "heads is 3");
    assertThrows(attend(3, 24, 0), RangeError, "heads is 0");
  });
  await t.step("no base", () => {
    assertThrows(attend(3, 24, 2, NaN), ConfigError, "ropeBase is NaN");
  });
  await t.step("no such layer", () => {
    assertThrows(attend(3, 24, 2, 1e4, -1), RangeError, "layer is -1");
  });
  await t.step("no room", () => {
    cache.fill(0, device.ones([24, 16]), 8);
    cache.fill(1, device.ones([24, 16]), 8);
    cache.setLengths([1, 8, 1]);
    assertThrows(attend(3, 24, 2), RangeError, "sequence 1");
  });
  await t.step("what fits", () => {
    cache.setLengths([0, 0, 0]);
    assertEquals(attend(3, 24, 2)().shape as readonly number[], [3, 8]);
  });
});

Deno.test("`KeyValueCache.setLengths()` takes one whole number per sequence", async () => {
  using device = await openDevice();
  using cache = new KeyValueCache(device, SIZES);
  for (const layer of [0, 1]) cache.fill(layer, device.ones([24, 16]), 8);
  for (const wrong of [[1, 2], [1, 2, 3, 4], [1, 2, -1], [1, 2, 9], [1, 2, 0.5], "123", null]) {
    assertThrows(() => cache.setLengths(wrong as never), RangeError, "Cannot set");
  }
  const lengths = [1, 2, 3];
  cache.setLengths(lengths);
  lengths[0] = 1000;
  (cache.lengths as number[])[1] = 1000;
  assertEquals(cache.lengths, [1, 2, 3]);
});

Deno.test("`KeyValueCache.setLengths()` refuses tokens that a layer does not hold", async (t) => {
  using device = await openDevice();
  using cache = new KeyValueCache(device, SIZES);
  const refuses = (lengths: readonly number[], message: string) =>
    assertThrows(() => cache.setLengths(lengths), RangeError, message);
  const fill = (layer: number, sequence: number) =>
    cache.fill(layer, device.ones([3 * sequence, 16]), sequence);
  const attend = (layer: number) => cache.attend(layer, device.ones([3, 24]), 2, 1e4);
  await t.step("a new cache", () => {
    refuses([0, 1, 0], "lengths[1] is 1, but layer 0 holds 0");
  });
  await t.step("one layer of two", () => {
    fill(0, 3);
    refuses([1, 0, 0], "lengths[0] is 1, but layer 1 holds 0");
  });
  await t.step("layers of different lengths", () => {
    fill(1, 2);
    refuses([2, 2, 3], "lengths[2] is 3, but layer 1 holds 2");
    cache.setLengths([2, 1, 0]);
    assertEquals(cache.lengths, [2, 1, 0]);
  });
  await t.step("what was cut off", () => {
    refuses([2, 2, 0], "lengths[1] is 2, but layer 0 holds 1");
  });
  await t.step("a token that one layer has", () => {
    attend(0);
    refuses([3, 2, 1], "lengths[0] is 3, but layer 1 holds 2");
    attend(1);
    attend(1);
    refuses([4, 2, 1], "lengths[0] is 4, but layer 0 holds 3");
    cache.setLengths([3, 2, 1]);
  });
  await t.step("a refused one changes nothing", () => {
    assertEquals(cache.lengths, [3, 2, 1]);
  });
  await t.step("sequences that begin anew", () => {
    fill(1, 5);
    assertEquals(cache.lengths, [0, 0, 0]);
    refuses([1, 1, 1], "lengths[0] is 1, but layer 0 holds 0");
    fill(0, 5);
    // Layer 0 starts new sequences, which layer 1 has not seen.
    fill(0, 4);
    refuses([4, 4, 4], "lengths[0] is 4, but layer 1 holds 0");
  });
});

Deno.test("`KeyValueCache.attend()` sees the filled tokens up to the lengths", async () => {
  using device = await openDevice();
  using cache = new KeyValueCache(device, {
    layers: 1,
    groups: 1,
    headDim: 2,
    batch: 2,
    capacity: 3,
  });
  // Queries are 0, so every key has the same weight. Values are 1 and 2, then 4 and 8, in both
  // columns.
  const values = [1, 2, 4, 8].flatMap((value) => [9, 9, value, value]);
  cache.fill(0, device.from(values, [4, 4]), 2);
  cache.setLengths([2, 1]);
  const next = () => device.from([0, 0, 9, 9, 6, 6, 0, 0, 9, 9, 6, 6], [2, 6]);
  const seen = async () => [...await read(cache.attend(0, next(), 1, 1e4))];
  assertEquals(await seen(), [3, 3, 5, 5]);
  assertEquals(await seen(), [3, 3, 5, 5], "its own key and value are kept at the same place");
  cache.setLengths([1, 0]);
  assertEquals(await seen(), [3.5, 3.5, 6, 6]);
});

Deno.test("a disposed cache is refused, and disposing twice is harmless", async () => {
  using device = await openDevice();
  const cache = new KeyValueCache(device, SIZES);
  cache[Symbol.dispose]();
  cache[Symbol.dispose]();
  const qkv = device.ones([3, 24]);
  assertThrows(() => cache.fill(0, qkv, 1), ReferenceError, "Cannot");
  assertThrows(() => cache.attend(0, qkv, 2, 1e4), ReferenceError, "Cannot");
  assertThrows(() => cache.setLengths([0, 0, 0]), ReferenceError, "Cannot");
});

Deno.test("a new cache has no tokens on the device either", async () => {
  using device = await openDevice();
  const { batch, capacity, layers, groups, headDim } = SIZES;
  const heads = 2 * groups;
  const qkv = device.ones([batch, (heads + 2 * groups) * headDim]);
  // A freed block's contents must not be read as lengths.
  device.full([batch], capacity - 1)[Symbol.dispose]();
  device.tokens(new Array<number>(batch).fill(capacity - 1))[Symbol.dispose]();
  using cache = new KeyValueCache(device, { layers, groups, headDim, batch, capacity });
  using attended = cache.attend(0, qkv, heads, 1e4);
  // The only token is the new one, whose value is 1 in every column.
  assert((await read(attended)).every((value) => value === 1));
});

Deno.test("`setLengths()` uses exactly the lengths it checked", async () => {
  using device = await openDevice();
  const sizes = { layers: 1, groups: 1, headDim: 4, batch: 1, capacity: 8 };
  using cache = new KeyValueCache(device, sizes);
  cache.fill(0, device.normal([3, 12]), 3);
  const lengths = [3];
  let reads = 0;
  lengths[Symbol.iterator] = function* (): ArrayIterator<number> {
    yield reads++ === 0 ? 600_000_000 : 3;
  };
  cache.setLengths(lengths);
  assertEquals(cache.lengths, [3]);
  const attended = await read(cache.attend(0, device.normal([1, 12]), 1, 1e4));
  assert(attended.every(Number.isFinite));
});
