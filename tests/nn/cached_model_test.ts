import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  Attention,
  ConfigError,
  type Device,
  FeedForward,
  type FeedForwardLayer,
  KeyValueCache,
  LanguageModel,
  read,
  ShapeMismatchError,
  sum,
  type Tensor,
} from "@remoe/remoe";
import { openDevice } from "../tensor/open_device.ts";

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

/** A model whose second layer fails on demand, after both layers' attention. */
function failingModel(device: Device, isFailing: () => boolean): LanguageModel {
  const failing: FeedForwardLayer = {
    forward: (x) => {
      if (isFailing()) throw new Error("on purpose");
      return x;
    },
    parameters: () => [],
    [Symbol.dispose]: () => {},
  };
  return new LanguageModel(device, {
    vocabulary: 10,
    layers: 2,
    hidden: 8,
    heads: 2,
    deviation: 1,
    feedForward: (layer) => layer === 0 ? failing : new FeedForward(device, { hidden: 8 }),
  });
}

Deno.test("a prefill that fails halfway empties the cache; a decode leaves it unchanged", async () => {
  using device = await openDevice({ seed: 1 });
  let isFailing = false;
  using model = failingModel(device, () => isFailing);
  const fails = (run: () => void) => {
    isFailing = true;
    assertThrows(run, Error, "on purpose");
    isFailing = false;
  };
  using _scope = device.noGradient();
  using cache = model.openCache(1, 4);
  const isRight = async (logits: Tensor, tokens: readonly number[]) => {
    const right = await read(model.nextLogits(device.tokens(tokens)));
    (await read(logits)).forEach((value, i) => assertAlmostEquals(value, right[i]!, 1e-5));
  };
  model.prefill([[1, 2]], cache);
  fails(() => model.decode([7], cache));
  assertEquals(cache.lengths, [2]);
  await isRight(model.decode([3], cache), [1, 2, 3]);
  fails(() => model.prefill([[4, 5, 6]], cache));
  assertEquals(cache.lengths, [0]);
  await isRight(model.decode([7], cache), [7]);
  await isRight(model.prefill([[4, 5, 6]], cache), [4, 5, 6]);
});

Deno.test("`LanguageModel` refuses tokens outside its vocabulary before it touches a cache", async () => {
  using device = await openDevice({ seed: 1 });
  using model = smallModel(device);
  using cache = model.openCache(1, 4);
  using _scope = device.noGradient();
  for (const wrong of [10, -1, 1.5, NaN, "1", undefined]) {
    assertThrows(() => model.prefill([[1, wrong as number]], cache), RangeError, "a token id is");
  }
  assertThrows(() => model.prefill(null as never, cache), TypeError, "not an array of arrays");
  assertEquals(cache.lengths, [0]);
  model.prefill([[1, 2]], cache);
  // deno-lint-ignore no-sparse-arrays
  assertThrows(() => model.prefill([[3, , 1]] as number[][], cache), RangeError, "undefined");
  assertThrows(() => model.prefill(["12"] as never, cache), TypeError, "not an array of token ids");
  assertThrows(() => model.decode([11], cache), RangeError, "a token id is 11");
  assertEquals(cache.lengths, [2]);
  const three = device.tokens([1, 2, 3]);
  assertThrows(() => model.logits(three, 2), ShapeMismatchError, "whole sequences of 2");
});

Deno.test("`LanguageModel.prefill()` takes any number of sequences", async () => {
  using device = await openDevice();
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

Deno.test("a model accepts only a cache of its own sizes", async () => {
  using device = await openDevice();
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

Deno.test("a gradient through a cache is refused, not silently dropped", async () => {
  using device = await openDevice();
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

Deno.test("`Attention` accepts only a cache of its own sizes", async () => {
  using device = await openDevice();
  using layer = new Attention(device, { hidden: 8, heads: 2 });
  const own = { layers: 1, groups: 2, headDim: 4, batch: 1, capacity: 4 };
  using _scope = device.noGradient();
  const x = device.ones([1, 8]);
  for (const other of [{ groups: 1 }, { headDim: 2 }, { groups: 1, headDim: 8 }]) {
    using cache = new KeyValueCache(device, { ...own, ...other });
    const cached = { cache, layer: 0 };
    assertThrows(() => layer.forward(x, 1, cached), ConfigError, "the model has 1, 2 and 4");
  }
  for (const wrong of [null, {}, { cache: {}, layer: 0 }]) {
    assertThrows(() => layer.forward(x, 1, wrong as never), TypeError, "Cannot attend");
  }
  using cache = new KeyValueCache(device, own);
  assertEquals(layer.forward(x, 1, { cache, layer: 0 }).shape, [1, 8]);
});
