/** Lory in a whole model: causality from the second segment on, and generation. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { buildModel, type BuiltModel } from "../../lib/model/build_model.ts";
import { segmentLength } from "../../lib/moe/segments.ts";
import { parseConfig } from "../../lib/train/mod.ts";
import { ConfigError, type Device, read, write } from "../../mod.ts";
import { Random } from "../../kernels/cases/random.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";

const VOCABULARY = 257;

/** A small model whose routers decide firmly. */
async function modelOf(device: Device): Promise<BuiltModel> {
  const built = buildModel(
    device,
    parseConfig({
      preset: "pico",
      model: { layers: 2, hidden: 16, heads: 2, groups: 1, ffn: 24, init_std: 0.3 },
      moe: { router: "lory", experts: 4 },
    }),
  );
  for (const parameter of built.model.parameters()) {
    if (!parameter.name.endsWith("gate.weight")) continue;
    write(parameter, (await read(parameter)).map((value) => 5 * value));
  }
  return built;
}

function tokensOf(count: number): number[] {
  const random = new Random(`${count} tokens`);
  return Array.from({ length: count }, () => random.integer(VOCABULARY));
}

Deno.test("a model with Lory is causal from the second segment on", async () => {
  using device = await openDevice({ seed: 2 });
  using built = await modelOf(device);
  using _scope = device.noGradient();
  const tokens = tokensOf(16);
  const logitsOf = async (ids: number[]) => await read(built.model.logits(device.tokens(ids), 16));
  const before = await logitsOf(tokens);
  const from = segmentLength(16);
  for (let changed = 0; changed < 16; changed++) {
    const after = await logitsOf(tokens.map((id, t) => t === changed ? (id + 1) % VOCABULARY : id));
    const firstDifference = before.findIndex((value, i) => value !== after[i]);
    const first = Math.floor(firstDifference / VOCABULARY);
    // Within the first segment even its first token sees the others.
    assertEquals(first, changed < from ? 0 : changed);
  }
});

Deno.test("prompts of different lengths continue as they would one by one", async () => {
  using device = await openDevice({ seed: 2 });
  using built = await modelOf(device);
  using _scope = device.noGradient();
  const prompts = [tokensOf(9), tokensOf(4), tokensOf(1)];
  const next = [tokensOf(3), tokensOf(5).slice(0, 3), tokensOf(7).slice(0, 3)];
  using together = built.model.openCache(3, 16);
  const steps = [await read(built.model.prefill(prompts, together))];
  for (let t = 0; t < 3; t++) {
    steps.push(await read(built.model.decode(next.map((ids) => ids[t]!), together)));
  }
  // The same cache for one after the other: each prefill forgets the weights of the last.
  using alone = built.model.openCache(1, 16);
  for (const [b, prompt] of prompts.entries()) {
    const rows = [await read(built.model.prefill([prompt], alone))];
    for (const id of next[b]!) rows.push(await read(built.model.decode([id], alone)));
    for (const [t, row] of rows.entries()) {
      const shared = steps[t]!.subarray(b * VOCABULARY, (b + 1) * VOCABULARY);
      assertClose(shared, row, `prompt ${b}, step ${t}`, 1e-5);
    }
  }
});

Deno.test("rows keep their own prompts' weights, also where they are copied or filled anew", async () => {
  using device = await openDevice({ seed: 2 });
  using built = await modelOf(device);
  const { model } = built;
  using _scope = device.noGradient();
  using cache = model.openCache(3, 16);
  using alone = model.openCache(1, 16);
  const [first, second, third] = [tokensOf(9), tokensOf(4), tokensOf(6)];
  model.extend([third, first], cache, [1, 0]);
  cache.copyRows([0], [2]);
  cache.release([1]);
  // A prompt begins in row 1 while row 2 goes on.
  const [begun, copied] = [second, [7]];
  const logits = await read(model.extend([begun, copied], cache, [1, 2]));
  const rows = [
    await read(model.prefill([second], alone)),
    (model.prefill([first], alone), await read(model.decode([7], alone))),
  ];
  for (const [i, row] of rows.entries()) {
    const own = logits.subarray(i * VOCABULARY, (i + 1) * VOCABULARY);
    assertClose(own, row, `row ${i + 1}`, 1e-5);
  }
  assertThrows(() => model.extend([[1, 2]], cache, [0]), ConfigError, "give the whole prompt");
  assertThrows(
    () => model.scoreExtension([[1, 2]], [[2, 3]], alone, [0]),
    ConfigError,
    "by Lory",
  );
  assertEquals(cache.lengths, [9, 4, 10]);
});

Deno.test("what follows a prompt is routed by the prompt alone", async () => {
  using device = await openDevice({ seed: 2 });
  using built = await modelOf(device);
  using _scope = device.noGradient();
  using cache = built.model.openCache(1, 16);
  const prompt = tokensOf(6);
  built.model.prefill([prompt], cache);
  const decoded = await read(built.model.decode([7], cache));
  // A prompt longer by this token has another mean, so other weights.
  const longer = await read(built.model.prefill([[...prompt, 7]], cache));
  assert(decoded.some((value, i) => Math.abs(value - longer[i]!) > 1e-3));
});

Deno.test("a cache frees what routers kept", async () => {
  using device = await openDevice({ seed: 2 });
  using built = await modelOf(device);
  using _scope = device.noGradient();
  const before = device.statistics().inUse;
  {
    using cache = built.model.openCache(2, 8);
    for (let i = 0; i < 3; i++) {
      using _inner = device.noGradient();
      built.model.prefill([[1, 2], [3]], cache);
    }
    const withRouters = device.statistics().inUse;
    cache.setLengths([0, 0]);
    assert(device.statistics().inUse < withRouters);
  }
  assertEquals(device.statistics().inUse, before);
});
