import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";

import { BatchSampler } from "../../../lib/data/batches/batch_sampler.ts";
import { DataError } from "../../../lib/data/errors.ts";
import { ConfigError } from "../../../lib/errors.ts";

const counting = (length: number) => Uint16Array.from({ length }, (_, i) => i);

Deno.test("`BatchSampler.next()` returns rows of consecutive tokens and their successors", () => {
  const sampler = new BatchSampler(counting(1000), { sequence: 7, seed: 5 });
  const { rows, sequence, tokens, targets } = sampler.next(3);
  assertEquals([rows, sequence, tokens.length, targets.length], [3, 7, 21, 21]);
  for (let row = 0; row < rows; row++) {
    const first = tokens[row * sequence]!;
    assertEquals(first % sequence, 0);
    for (let i = 0; i < sequence; i++) {
      assertEquals(tokens[row * sequence + i], first + i);
      assertEquals(targets[row * sequence + i], first + i + 1);
    }
  }
});

Deno.test("`BatchSampler` makes every token but the first a target once per epoch", () => {
  const sampler = new BatchSampler(counting(101), { sequence: 10, seed: 2 });
  assertEquals(sampler.windows, 10);
  for (let epoch = 0; epoch < 3; epoch++) {
    const targets = [...sampler.next(10).targets].toSorted((a, b) => a - b);
    assertEquals(targets, Array.from({ length: 100 }, (_, i) => i + 1));
  }
});

Deno.test("`BatchSampler` uses a different order for each epoch and seed", () => {
  const order = (seed: number, epoch: number) => {
    const sampler = new BatchSampler(counting(1001), { sequence: 10, seed });
    sampler.restore({ seed, epoch, position: 0 });
    return [...sampler.next(100).tokens];
  };
  assertEquals(order(1, 0), order(1, 0));
  assertNotEquals(order(1, 0), order(1, 1));
  assertNotEquals(order(1, 0), order(2, 0));
});

Deno.test("`BatchSampler` resumes from its state as JSON at any step", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 });
  const settings = fc.record({
    length: fc.integer({ min: 20, max: 300 }),
    sequence: fc.integer({ min: 1, max: 19 }),
    seed: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  });
  fc.assert(fc.property(settings, sizes, sizes, ({ length, ...options }, before, after) => {
    const straight = new BatchSampler(counting(length), options);
    for (const batch of before) straight.next(batch);
    const resumed = new BatchSampler(counting(length), { ...options, seed: 0 });
    resumed.restore(JSON.parse(JSON.stringify(straight.state)));
    for (const batch of after) assertEquals(resumed.next(batch), straight.next(batch));
    assertEquals(resumed.state, straight.state);
  }));
});

Deno.test("`BatchSampler` gives the same rows for any batch size", () => {
  const rows = (batches: readonly number[]) => {
    const sampler = new BatchSampler(counting(64), { sequence: 4, seed: 9 });
    return batches.flatMap((batch) => [...sampler.next(batch).tokens]);
  };
  assertEquals(rows([40]), rows([1, 2, 3, 17, 17]));
});

Deno.test("`BatchSampler.next()` returns fresh arrays", () => {
  const stream = counting(20);
  const sampler = new BatchSampler(stream, { sequence: 4, seed: 0 });
  const first = sampler.next(2);
  const copy = structuredClone(first);
  sampler.next(2);
  stream.fill(99);
  assertEquals(first, copy);
});

Deno.test("`BatchSampler` supports tokens above 16 bits", () => {
  const sampler = new BatchSampler(Uint32Array.of(70_000, 80_000), { sequence: 1, seed: 0 });
  const { tokens, targets } = sampler.next(1);
  assertEquals([tokens[0], targets[0]], [70_000, 80_000]);
});

Deno.test("`BatchSampler` names both lengths when the text is too short", () => {
  const options = { sequence: 32, seed: 0 };
  const error = assertThrows(() => new BatchSampler(counting(32), options), DataError);
  assert(error.message.includes("33 tokens and there are 32"), error.message);
  assertEquals(new BatchSampler(counting(33), options).windows, 1);
});

Deno.test("`BatchSampler` refuses sizes out of range", () => {
  for (const sequence of [0, -1, 1.5]) {
    assertThrows(() => new BatchSampler(counting(9), { sequence, seed: 0 }), RangeError);
  }
  assertThrows(() => new BatchSampler(counting(9), { sequence: 2, seed: -1 }), RangeError, "seed");
  const sampler = new BatchSampler(counting(9), { sequence: 2, seed: 0 });
  for (const batch of [0, -1, 1.5]) assertThrows(() => sampler.next(batch), RangeError);
});

Deno.test("`BatchSampler.restore()` refuses another text's state and keeps its own", () => {
  const sampler = new BatchSampler(counting(101), { sequence: 10, seed: 1 });
  sampler.next(3);
  const before = sampler.state;
  const beyond = { seed: 1, epoch: 0, position: 11 };
  assertThrows(() => sampler.restore(beyond), ConfigError, "it has 10 of 10 tokens");
  for (
    const part of [{ seed: -1 }, { epoch: -1 }, { epoch: 0.5 }, { position: -1 }, { position: 0.5 }]
  ) {
    assertThrows(() => sampler.restore({ ...before, ...part }), ConfigError, "damaged");
  }
  assertEquals(sampler.state, before);
});
