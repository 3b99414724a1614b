import { assertAlmostEquals, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";

import type { Batch } from "../../lib/data/batches/batches.ts";
import { ByteTokenizer } from "../../lib/data/tokenizer/byte_tokenizer.ts";
import { DataError } from "../../lib/data/errors.ts";
import { joinStreams, memoryStream } from "../../lib/data/corpus/token_stream.ts";
import type { CorpusSide } from "../../lib/data/corpus/tokenized_text.ts";
import type { RouterName } from "../../lib/moe/routers.ts";
import { parseConfig } from "../../lib/train/mod.ts";
import { Validation } from "../../lib/train/validation.ts";

/** A side with domains of the given lengths, whose tokens are the domain's index. */
function sideOf(lengths: Record<string, number>): CorpusSide {
  const domains = new Map(
    Object.entries(lengths).map(([name, length], i) => {
      const tokens = memoryStream(new Uint16Array(length).fill(i + 1));
      return [name, { tokens, documents: 1, bytes: length }];
    }),
  );
  const tokens = joinStreams([...domains.values()].map((domain) => domain.tokens));
  return { tokens, documents: domains.size, bytes: tokens.length, domains };
}

/** Validates with the target's id as its loss. */
function validate(
  lengths: Record<string, number>,
  sequence = 8,
  router: RouterName = "relu",
  lossOf = ({ targets }: Batch): Float32Array => Float32Array.from(targets),
) {
  const config = parseConfig({
    preset: "pico",
    moe: { router },
    data: { sequence, batch: 4, micro_batch: 2 },
    validation: { batches: 50 },
  });
  const rows: number[] = [];
  const metrics = new Validation(config, sideOf(lengths), new ByteTokenizer()).run(3, (batch) => {
    rows.push(batch.sequence);
    return lossOf(batch);
  });
  return { metrics, rows: new Set(rows) };
}

Deno.test("`Validation` counts short domains in the total, and reports losses of long ones", () => {
  const { metrics } = validate({ a: 41, b: 5, c: 81, d: 7 });
  assertEquals(metrics.valid_loss_by_domain, { a: 1, c: 3 });
  // The short domains' row of 8 targets has 4 from b and 4 from d.
  assertAlmostEquals(metrics.valid_loss, (41 * 1 + 81 * 3 + 12 * 3) / 134, 1e-9);
});

Deno.test("`Validation` measures many short domains as one", () => {
  const lengths = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`d${i}`, 5]));
  const { metrics, rows } = validate(lengths);
  assertEquals(metrics.valid_loss_by_domain, undefined);
  assertEquals(rows, new Set([8]));
  assertAlmostEquals(metrics.valid_loss, 150, 3);
});

Deno.test("`Validation` puts the remaining tokens into a shorter row", () => {
  const { metrics, rows } = validate({ a: 41, b: 4 });
  assertEquals(rows, new Set([8, 3]));
  assertAlmostEquals(metrics.valid_loss, (41 * 1 + 4 * 2) / 45, 1e-9);
  assertEquals(metrics.valid_loss_by_domain, { a: 1 });
});

Deno.test("`Validation` tells losses of causally routed tokens from the others, domain by domain", () => {
  // Token t of a row of domain d loses 10 d + t; segments are two tokens long.
  const { metrics } = validate(
    { a: 41, b: 81 },
    8,
    "lory",
    ({ targets, sequence }) =>
      Float32Array.from(targets, (domain, i) => 10 * domain + i % sequence),
  );
  const domains = (41 * 10 + 81 * 20) / 122;
  assertAlmostEquals(metrics.valid_loss_noncausal!, domains + 0.5, 1e-9);
  assertAlmostEquals(metrics.valid_loss_causal!, domains + 4.5, 1e-9);
  assertAlmostEquals(metrics.valid_loss, domains + 3.5, 1e-9);
  // Other routers' losses of the same tokens are there to compare with.
  assertAlmostEquals(metrics.valid_loss_later!, domains + 4.5, 1e-9);
  const dense = validate(
    { a: 41, b: 81 },
    8,
    "dense",
    ({ targets, sequence }) =>
      Float32Array.from(targets, (domain, i) => 10 * domain + i % sequence),
  ).metrics;
  assertAlmostEquals(dense.valid_loss_later!, domains + 4.5, 1e-9);
  assertEquals("valid_loss_later" in validate({ a: 41 }, 1).metrics, false);
  // A router that is causal throughout has nothing to tell apart, nor have rows of one token.
  assertEquals("valid_loss_causal" in validate({ a: 41 }).metrics, false);
  assertEquals("valid_loss_causal" in validate({ a: 41 }, 1, "lory").metrics, false);
});

Deno.test("`Validation` refuses a text shorter than a row, and says which keys to change", () => {
  const error = assertThrows(() => validate({ a: 4, b: 4 }), DataError, "has 8 of the 9");
  for (const key of ["data.validation_fraction", "data.sequence", "validation.every=0"]) {
    assertStringIncludes(error.message, key);
  }
});
