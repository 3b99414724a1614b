/** Extending chosen rows of a cache: chunks, shared prefixes, scores. @module */

import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  ConfigError,
  type Device,
  ExpertChoiceRouter,
  FeedForward,
  type FeedForwardLayer,
  HashRouter,
  KeyValueCache,
  LanguageModel,
  MoE,
  read,
  type Real,
  ReluRouter,
  type Router,
  sum,
  type Tensor,
  write,
} from "@remoe/remoe";
import { Random } from "../../kernels/cases/random.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";

const VOCABULARY = 61;
const SIZES = {
  vocabulary: VOCABULARY,
  layers: 2,
  hidden: 32,
  heads: 4,
  groups: 2,
  deviation: 0.4,
};

/** Experts as a block's second half. */
function experts<R extends Real>(device: Device, router: Router, dtype: R): FeedForwardLayer<R> {
  const moe = new MoE<number, number, R>(device, {
    ...{ router, hidden: 32, width: 16, deviation: 0.5, dtype },
  });
  return {
    forward: (x, context) => moe.forward(x, context).output,
    parameters: () => moe.parameters(),
    [Symbol.dispose]: () => moe[Symbol.dispose](),
  };
}

/** A model whose experts are chosen token by token. */
function modelOf<R extends Real = "f32">(
  device: Device,
  dtype: R = "f32" as R,
): LanguageModel<R> {
  return new LanguageModel<R>(device, {
    ...{ ...SIZES, dtype },
    feedForward: () => {
      const router = new ReluRouter(device, { hidden: 32, experts: 4, deviation: 1 });
      return experts<NoInfer<R>>(device, router as Router, dtype);
    },
  });
}

function tokensOf(count: number, seed = "text"): number[] {
  return [...new Random(seed).integers(count, VOCABULARY)];
}

/** Rows of logits, on the host. */
async function rowsOf(logits: Tensor<"f32", readonly [number, number]>): Promise<Float32Array[]> {
  const values = await read(logits);
  const [rows, columns] = logits.shape;
  return Array.from({ length: rows }, (_, i) => values.slice(i * columns, (i + 1) * columns));
}

/** The logits of a whole sequence. */
function whole(device: Device, model: LanguageModel<Real>, tokens: readonly number[]) {
  return rowsOf(model.logits(device.tokens(tokens), tokens.length));
}

for (const dtype of ["f32", "bf16"] as const) {
  const within = dtype === "f32" ? 2e-5 : 0.2;
  Deno.test(`a sequence extended in any chunks has the logits of the whole (${dtype})`, async () => {
    using device = await openDevice({ seed: 3 });
    using model = modelOf(device, dtype) as LanguageModel<Real>;
    using _scope = device.noGradient();
    const text = tokensOf(150);
    const right = await whole(device, model, text);
    using cache = model.openCache(4, 160);
    for (const chunks of [[150], [1, 1, 2, 3, 4, 139], [64, 64, 22], [100, 50], [3, 70, 77]]) {
      cache.release([2]);
      let done = 0;
      for (const chunk of chunks) {
        const logits = model.extend([text.slice(done, done + chunk)], cache, [2]);
        done += chunk;
        assertClose((await rowsOf(logits))[0]!, right[done - 1]!, `after ${done}`, within);
      }
      assertEquals(cache.lengths, [0, 0, 150, 0]);
    }
  });
}

Deno.test("rows of different lengths are extended as they would be alone", async () => {
  using device = await openDevice({ seed: 3 });
  using model = modelOf(device);
  using _scope = device.noGradient();
  using cache = model.openCache(5, 90);
  const texts = [40, 3, 1, 75].map((count) => tokensOf(count, `text ${count}`));
  const rows = [4, 0, 3, 1];
  const began = await rowsOf(model.extend(texts, cache, rows));
  assertEquals(cache.lengths, [3, 75, 0, 1, 40]);
  for (const [i, text] of texts.entries()) {
    assertClose(began[i]!, (await whole(device, model, text)).at(-1)!, `text ${i}`, 2e-5);
  }
  const more = [[7, 8, 9, 10, 11], [1], [5, 6]];
  const went = await rowsOf(model.extend(more, cache, [1, 4, 0]));
  assertEquals(cache.lengths, [5, 80, 0, 1, 41]);
  for (const [i, of] of [3, 0, 1].entries()) {
    const right = await whole(device, model, [...texts[of]!, ...more[i]!]);
    assertClose(went[i]!, right.at(-1)!, `text ${of}`, 2e-5);
  }
});

Deno.test("attention gives a row the same bits whatever is extended beside it", async () => {
  using device = await openDevice({ seed: 3 });
  using _scope = device.noGradient();
  const { hidden: columns, ...sizes } = { layers: 1, groups: 2, headDim: 8, hidden: 64 };
  using cache = new KeyValueCache(device, { ...sizes, batch: 3, capacity: 200 });
  const values = new Random("rows").normal(140 * columns);
  const attend = async (counts: readonly number[], rows: readonly number[], from: number) => {
    const total = counts.reduce((a, b) => a + b);
    const qkv = device.from(values.slice(from * columns, (from + total) * columns), [
      total,
      columns,
    ]);
    return await read(cache.attend(0, qkv, 4, 1e4, { rows, counts }));
  };
  const together = await attend([70, 5, 65], [0, 1, 2], 0);
  const size = 4 * 8;
  for (const [row, from, count] of [[1, 70, 5], [0, 0, 70], [2, 75, 65]] as const) {
    const alone = await attend([count], [row], from);
    assertEquals(alone, together.slice(from * size, (from + count) * size));
  }
  // In two parts, each of some size, the second attends to the same bits.
  await attend([40], [0], 0);
  cache.setLengths([40, 0, 0]);
  const rest = await attend([30], [0], 40);
  assertEquals(rest, together.slice(40 * size, 70 * size));
});

Deno.test("copied rows continue as the concatenation, and released ones are filled anew", async () => {
  using device = await openDevice({ seed: 3 });
  using model = modelOf(device);
  using _scope = device.noGradient();
  using cache = model.openCache(4, 40);
  const [prefix, endings] = [tokensOf(20), [[3], [4, 5, 6], [7, 8, 9, 10, 11, 12]]];
  model.extend([prefix], cache, [3]);
  model.extend([[1, 2]], cache, [0]);
  cache.copyRows([3, 3], [0, 2]);
  assertEquals(cache.lengths, [20, 0, 20, 20]);
  const logits = await rowsOf(model.extend(endings, cache, [0, 2, 3]));
  for (const [i, ending] of endings.entries()) {
    const right = await whole(device, model, [...prefix, ...ending]);
    assertClose(logits[i]!, right.at(-1)!, `ending ${i}`, 2e-5);
  }
  cache.release([2, 0]);
  assertEquals(cache.lengths, [0, 0, 0, 26]);
  const [again] = await rowsOf(model.extend([[9, 8]], cache, [2]));
  assertClose(again!, (await whole(device, model, [9, 8])).at(-1)!, "filled anew", 2e-5);
  cache.copyRows([1], [2]); // nothing
  assertEquals(cache.lengths, [0, 0, 0, 26]);
});

Deno.test("a failed extension leaves the cache as it was", async () => {
  using device = await openDevice({ seed: 3 });
  let isFailing = false;
  const failing = (): FeedForwardLayer => ({
    forward: (x) => {
      if (isFailing) throw new Error("on purpose");
      return x;
    },
    parameters: () => [],
    [Symbol.dispose]: () => {},
  });
  using model = new LanguageModel(device, {
    ...SIZES,
    feedForward: (layer) => layer === 0 ? new FeedForward(device, { hidden: 32 }) : failing(),
  });
  using _scope = device.noGradient();
  using cache = model.openCache(2, 8);
  model.extend([[1, 2, 3], [4]], cache);
  isFailing = true;
  assertThrows(() => model.extend([[5, 6], [7]], cache), Error, "on purpose");
  assertThrows(() => model.scoreExtension([[5, 6]], [[6, 7]], cache, [1]), Error, "on purpose");
  isFailing = false;
  assertEquals(cache.lengths, [3, 1]);
  const logits = await rowsOf(model.extend([[9], [5, 6]], cache));
  assertClose(logits[0]!, (await whole(device, model, [1, 2, 3, 9])).at(-1)!, "row 0", 2e-5);
  assertClose(logits[1]!, (await whole(device, model, [4, 5, 6])).at(-1)!, "row 1", 2e-5);
});

/** Log-softmax in float64. */
function logSoftmax(logits: Float32Array): Float64Array {
  const largest = Math.max(...logits);
  const total = logits.reduce((sum, z) => sum + Math.exp(z - largest), 0);
  return Float64Array.from(logits, (z) => z - largest - Math.log(total));
}

for (const dtype of ["f32", "bf16"] as const) {
  Deno.test(`scores are the log-softmax of the logits, in a cache and without (${dtype})`, async () => {
    using device = await openDevice({ seed: 3 });
    using model = modelOf(device, dtype) as LanguageModel<Real>;
    using _scope = device.noGradient();
    const text = tokensOf(40);
    const logits = await whole(device, model, text);
    const greedyOf = logits.map((row) => row.indexOf(Math.max(...row)));
    // Every third is the greedy one, every fifth not scored.
    const targets = text.map((_, t) =>
      t % 5 === 4 ? -1 - t : t % 3 === 0 ? greedyOf[t]! : text[(t + 1) % text.length]!
    );
    using cache = model.openCache(2, 40);
    const scored = model.score(device.tokens(text), device.tokens(targets), 40);
    model.extend([text.slice(0, 10)], cache, [1]);
    const extended = model.scoreExtension([text.slice(10)], [targets.slice(10)], cache, [1]);
    assertEquals(cache.lengths, [0, 40]);
    for (const [scores, from, within] of [[scored, 0, 2e-6], [extended, 10, 2e-4]] as const) {
      const [own, place, best] = await Promise.all([
        read(scores.logProbability),
        read(scores.greedy),
        read(scores.greedyLogProbability),
      ]);
      assertEquals(own.length, 40 - from);
      const slack = dtype === "f32" || from === 0 ? within : 0.2;
      for (const [i, target] of targets.slice(from).entries()) {
        if (target < 0) {
          assertEquals([own[i], place[i], best[i]], [NaN, -1, NaN]);
          continue;
        }
        const right = logSoftmax(logits[from + i]!);
        assertAlmostEquals(own[i]!, right[target]!, slack * (1 - right[target]!));
        assertAlmostEquals(best[i]!, Math.max(...right), slack * 5);
        if (dtype === "f32" || from === 0) assertEquals(place[i], greedyOf[from + i]);
        assertEquals(own[i] === best[i], place[i] === target);
      }
    }
    const { tokenLoss } = model.loss(device.tokens(text), device.tokens(targets), 40);
    const losses = await read(tokenLoss);
    (await read(scored.logProbability)).forEach((score, t) => {
      if (targets[t]! >= 0) assertAlmostEquals(score, -losses[t]!, 1e-5);
    });
    const none = model.scoreExtension([[1, 2]], [[-1, -1]], cache, [0]);
    assertEquals([...await read(none.greedy)], [-1, -1]);
  });
}

Deno.test("a damaged model has no finite scores, and of equal logits the first is greedy", async () => {
  using device = await openDevice({ seed: 3 });
  using model = new LanguageModel(device, {
    ...SIZES,
    feedForward: () => new FeedForward(device, { hidden: 32 }),
  });
  using _scope = device.noGradient();
  const head = [...model.parameters()].find(({ name }) => name === "lm_head.weight")!;
  const weights = new Float32Array(32 * VOCABULARY);
  const score = async () => {
    write(head, weights);
    const scores = model.score(device.tokens([1, 2]), device.tokens([3, 9]), 2);
    const [own, place, best] = [scores.logProbability, scores.greedy, scores.greedyLogProbability];
    return [[...await read(own)], [...await read(place)], [...await read(best)]];
  };
  const even = Math.fround(-Math.log(VOCABULARY));
  const [own, place, best] = await score();
  assertEquals(place, [0, 0]);
  assertEquals(own, best);
  assertAlmostEquals(own![0]!, even, 1e-6);
  for (const bad of [NaN, Infinity]) {
    weights[17] = bad; // neither target, nor the last column of a vector
    assertEquals(await score(), [[NaN, NaN], [-1, -1], [NaN, NaN]]);
  }
});

Deno.test("extending refuses wrong rows, sequences and targets before it touches the cache", async () => {
  using device = await openDevice({ seed: 3 });
  using model = modelOf(device);
  using _scope = device.noGradient();
  using cache = model.openCache(3, 4);
  model.extend([[1, 2, 3]], cache, [1]);
  const refuses = (run: () => unknown, message: string, error = RangeError as ErrorConstructor) => {
    assertThrows(run, error, message);
    assertEquals(cache.lengths, [0, 3, 0]);
  };
  refuses(() => model.extend([[1], [2]], cache, [0, 0]), "rows[0] and rows[1] are both 0");
  refuses(() => model.extend([[1]], cache, [3]), "rows[0] is 3");
  refuses(() => model.extend([[1]], cache, [0.5]), "rows[0] is 0.5");
  refuses(() => model.extend([], cache, []), "rows is empty");
  refuses(() => model.extend([[1]], cache), "1 sequences of 1 to 1 tokens into 3 rows");
  refuses(() => model.extend([[1], []], cache, [0, 1]), "each needs a token");
  refuses(() => model.extend([[1], [2, 3]], cache, [0, 1]), "2 tokens to sequence 1: it has 3");
  refuses(() => model.extend([[VOCABULARY]], cache, [0]), "a token id is 61");
  refuses(() => model.extend([[1]], cache, "0" as never), "rows is", TypeError);
  const score = (targets: unknown) => () =>
    model.scoreExtension([[1, 2]], targets as number[][], cache, [0]);
  refuses(score([[1]]), "expected 2 ids");
  refuses(score([[1, VOCABULARY]]), "a target is 61");
  refuses(score([[1, NaN]]), "a target is NaN");
  refuses(score([1, 2]), "one for each of 1", TypeError);
  refuses(score([5]), "targets[0] is 5");
  refuses(() => cache.release([3]), "rows[0] is 3");
  refuses(() => cache.copyRows([1], [1]), "row 1 is in from and in to");
  refuses(() => cache.copyRows([1, 1], [0, 0]), "to[0] and to[1] are both 0");
  refuses(() => cache.copyRows([1], [0, 2]), "an array of 2 rows");
  refuses(() => cache.copyRows([5], [0]), "from[0] is 5");
  cache.release([]);
  cache.copyRows([], []);
  assertEquals(cache.lengths, [0, 3, 0]);
});

Deno.test("routers that see token ids are given those of the rows; others refuse", async () => {
  using device = await openDevice({ seed: 3 });
  using _scope = device.noGradient();
  const build = (router: Router) =>
    new LanguageModel(device, {
      ...{ ...SIZES, layers: 1 },
      feedForward: () => experts(device, router, "f32"),
    });
  const extended = async (model: LanguageModel, cache: KeyValueCache) => {
    model.extend([[1, 2, 3], [4]], cache, [2, 0]);
    return await rowsOf(model.extend([[5], [6, 7]], cache, [0, 2]));
  };
  using hash = build(new HashRouter(device, { hidden: 32, experts: 4 }) as Router);
  using cache = hash.openCache(3, 8);
  const logits = await extended(hash, cache);
  assertClose(logits[0]!, (await whole(device, hash, [4, 5])).at(-1)!, "row 0", 2e-5);
  assertClose(logits[1]!, (await whole(device, hash, [1, 2, 3, 6, 7])).at(-1)!, "row 2", 2e-5);
  using choice = build(new ExpertChoiceRouter(device, { hidden: 32, experts: 4 }) as Router);
  using other = choice.openCache(3, 8);
  assertThrows(() => choice.extend([[1]], other, [1]), ConfigError, "expert choice");
  assertEquals(other.lengths, [0, 0, 0]);
});

Deno.test("gradients through scores are refused, not silently dropped", async () => {
  using device = await openDevice({ seed: 3 });
  using model = modelOf(device);
  using tape = device.record();
  const { logProbability } = model.score(device.tokens([1, 2]), device.tokens([2, 3]), 2);
  const total = sum(logProbability as Tensor<"f32">);
  assertThrows(() => tape.backward(total as never), Error, "model.loss() has a gradient");
  assert(logProbability.shape[0] === 2);
});
