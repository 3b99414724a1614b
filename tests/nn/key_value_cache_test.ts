import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  Attention,
  ConfigError,
  Device,
  FeedForward,
  KeyValueCache,
  LanguageModel,
  read,
  ShapeMismatchError,
  sum,
} from "@remoe/remoe";

const SIZES = { layers: 2, groups: 2, headDim: 4, batch: 3, capacity: 8 };

/** A model of one block and ten tokens. */
function smallModel(device: Device): LanguageModel {
  return new LanguageModel(device, {
    vocabulary: 10,
    layers: 1,
    hidden: 8,
    heads: 2,
    feedForward: () => new FeedForward(device, { hidden: 8 }),
  });
}

Deno.test("`KeyValueCache` refuses sizes that are none", async () => {
  using device = await Device.open({ kind: "cpu" });
  for (const wrong of [0, -1, 1.5, NaN, 2 ** 31, "2", null, undefined]) {
    for (const name of Object.keys(SIZES)) {
      const options = { ...SIZES, [name]: wrong } as typeof SIZES;
      assertThrows(() => new KeyValueCache(device, options), ConfigError, "Cannot make a cache");
    }
  }
  assertEquals(device.statistics().blocks, 0);
});

Deno.test("`KeyValueCache.fill()` refuses what it would read past the end of", async (t) => {
  using device = await Device.open({ kind: "cpu" });
  using cache = new KeyValueCache(device, SIZES);
  const columns = 24; // two query heads, two groups of keys and of values
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

Deno.test("`KeyValueCache.attend()` refuses heads, rows and columns that do not fit", async (t) => {
  using device = await Device.open({ kind: "cpu" });
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
    cache.setLengths([1, 8, 1]);
    assertThrows(attend(3, 24, 2), RangeError, "sequence 1");
  });
  await t.step("what fits", () => {
    cache.setLengths([0, 0, 0]);
    assertEquals(attend(3, 24, 2)().shape as readonly number[], [3, 8]);
  });
});

Deno.test("`KeyValueCache.setLengths()` takes one whole number per sequence", async () => {
  using device = await Device.open({ kind: "cpu" });
  using cache = new KeyValueCache(device, SIZES);
  for (const wrong of [[1, 2], [1, 2, 3, 4], [1, 2, -1], [1, 2, 9], [1, 2, 0.5], "123", null]) {
    assertThrows(() => cache.setLengths(wrong as never), RangeError, "Cannot set");
  }
  const lengths = [1, 2, 3];
  cache.setLengths(lengths);
  lengths[0] = 1000;
  (cache.lengths as number[])[1] = 1000;
  assertEquals(cache.lengths, [1, 2, 3]);
});

Deno.test("a cache that was disposed of is refused, and disposing twice is harmless", async () => {
  using device = await Device.open({ kind: "cpu" });
  const cache = new KeyValueCache(device, SIZES);
  cache[Symbol.dispose]();
  cache[Symbol.dispose]();
  const qkv = device.ones([3, 24]);
  assertThrows(() => cache.fill(0, qkv, 1), ReferenceError, "Cannot");
  assertThrows(() => cache.attend(0, qkv, 2, 1e4), ReferenceError, "Cannot");
  assertThrows(() => cache.setLengths([1, 1, 1]), ReferenceError, "Cannot");
});

Deno.test("`LanguageModel` refuses tokens outside of its vocabulary before it touches a cache", async () => {
  using device = await Device.open({ kind: "cpu", seed: 1 });
  using model = smallModel(device);
  using cache = model.openCache(1, 4);
  using _scope = device.noGradient();
  for (const wrong of [10, -1, 1.5, NaN, "1", undefined]) {
    assertThrows(() => model.prefill([[1, wrong as number]], cache), RangeError, "a token id is");
  }
  assertThrows(() => model.prefill(null as never, cache), TypeError, "no array of token ids");
  assertEquals(cache.lengths, [0]);
  model.prefill([[1, 2]], cache);
  assertThrows(() => model.decode([11], cache), RangeError, "a token id is 11");
  assertEquals(cache.lengths, [2]);
  const three = device.tokens([1, 2, 3]);
  assertThrows(() => model.logits(three, 2), ShapeMismatchError, "whole sequences of 2");
});

Deno.test("`LanguageModel.prefill()` takes any number of sequences", async () => {
  using device = await Device.open({ kind: "cpu" });
  using model = new LanguageModel(device, {
    vocabulary: 2,
    layers: 1,
    hidden: 2,
    heads: 1,
    feedForward: () => new FeedForward(device, { hidden: 2, width: 1 }),
  });
  using cache = model.openCache(150_000, 1);
  using _scope = device.noGradient();
  const logits = model.prefill(Array.from({ length: 150_000 }, () => [1]), cache);
  assertEquals(logits.shape as readonly number[], [150_000, 2]);
});

Deno.test("a new cache has no tokens on the device either", async () => {
  using device = await Device.open({ kind: "cpu" });
  const { batch, capacity, layers, groups, headDim } = SIZES;
  const heads = 2 * groups;
  const qkv = device.ones([batch, (heads + 2 * groups) * headDim]);
  // What a freed block held must not be taken for lengths.
  device.full([batch], capacity - 1)[Symbol.dispose]();
  device.tokens(new Array<number>(batch).fill(capacity - 1))[Symbol.dispose]();
  using cache = new KeyValueCache(device, { layers, groups, headDim, batch, capacity });
  using attended = cache.attend(0, qkv, heads, 1e4);
  // The only token is the new one, whose value is 1 in every column.
  assert((await read(attended)).every((value) => value === 1));
});

Deno.test("a model takes a cache of its own sizes only", async () => {
  using device = await Device.open({ kind: "cpu" });
  using model = smallModel(device);
  const own = { layers: 1, groups: 2, headDim: 4, batch: 1, capacity: 4 };
  using _scope = device.noGradient();
  for (const other of [{ layers: 2 }, { groups: 1 }, { headDim: 2 }, { groups: 1, headDim: 8 }]) {
    using cache = new KeyValueCache(device, { ...own, ...other });
    assertThrows(() => model.prefill([[1]], cache), ConfigError, "the model has 1, 2 and 4");
    assertThrows(() => model.decode([1], cache), ConfigError, "model.openCache() makes one");
  }
  const none = undefined as unknown as KeyValueCache;
  assertThrows(() => model.prefill([[1]], none), TypeError, "undefined as its cache");
  using cache = new KeyValueCache(device, own);
  model.prefill([[1]], cache);
  assertEquals(model.decode([2], cache).shape, [1, 10]);
});

Deno.test("a gradient through a cache is refused, not left out", async () => {
  using device = await Device.open({ kind: "cpu" });
  using model = smallModel(device);
  using cache = model.openCache(1, 4);
  using tape = device.record();
  model.prefill([[1]], cache);
  const logits = model.decode([2], cache);
  assertEquals(logits.shape, [1, 10]);
  assertThrows(
    () => tape.backward(sum(logits)),
    Error,
    "Cannot differentiate attention with a cache",
  );
});

Deno.test("`Attention` takes a cache of its own sizes only", async () => {
  using device = await Device.open({ kind: "cpu" });
  using layer = new Attention(device, { hidden: 8, heads: 2 });
  const own = { layers: 1, groups: 2, headDim: 4, batch: 1, capacity: 4 };
  using _scope = device.noGradient();
  const x = device.ones([1, 8]);
  for (const other of [{ groups: 1 }, { headDim: 2 }, { groups: 1, headDim: 8 }]) {
    using cache = new KeyValueCache(device, { ...own, ...other });
    const cached = { cache, layer: 0, isPrefill: true };
    assertThrows(() => layer.forward(x, 1, cached), ConfigError, "the model has 1, 2 and 4");
  }
  for (const wrong of [null, {}, { cache: {}, layer: 0, isPrefill: true }]) {
    assertThrows(() => layer.forward(x, 1, wrong as never), TypeError, "Cannot attend");
  }
  using cache = new KeyValueCache(device, own);
  assertEquals(layer.forward(x, 1, { cache, layer: 0, isPrefill: true }).shape, [1, 8]);
});
