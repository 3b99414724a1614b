/** Which rows are analyzed, and in which batches. */

import { assert, assertEquals } from "@std/assert";
import { drawnWindow, EvenSample } from "../../lib/analyze/even_sample.ts";
import { mixedBatches, planRows } from "../../lib/analyze/mixed_batches.ts";
import { memoryStream, type TokenStream } from "../../lib/data/corpus/token_stream.ts";

/** A stream that counts up from a number. */
function stream(length: number, from = 0): TokenStream {
  return memoryStream(Uint32Array.from({ length }, (_, i) => from + i));
}

Deno.test("domains have equal shares, and one that is too short is told", () => {
  const text = new Map([
    ["long", stream(1000)],
    ["short", stream(41)],
    ["tiny", stream(6)],
    ["empty", stream(1)],
  ]);
  const plan = planRows(text, 240, 8).map(({ name, sequence, rows, tokens, isShort }) => [
    ...[name, sequence, rows, tokens, isShort],
  ]);
  assertEquals(plan, [
    ["long", 8, 10, 80, false],
    ["short", 8, 5, 40, true],
    ["tiny", 5, 1, 5, true],
  ]);
  assertEquals(planRows(text, 3, 8).map(({ isShort }) => isShort), [false, false, false]);
});

Deno.test("batches mix the domains in proportion, and cover each evenly", () => {
  const text = new Map([["a", stream(801)], ["b", stream(801, 1000)], ["c", stream(17, 2000)]]);
  const plan = planRows(text, 3 * 8 * 8, 8);
  assertEquals(plan.map(({ rows }) => rows), [8, 8, 2]);
  const batches = [...mixedBatches(plan, 6)];
  assertEquals(batches.map(({ domains }) => domains.join("")), ["ababca", "bababa", "bcabab"]);
  for (const { domains, tokens, targets, sequence, rows } of batches) {
    assertEquals([sequence, rows], [8, domains.length]);
    for (const [row, name] of domains.entries()) {
      const first = tokens[8 * row]!;
      assertEquals(Math.floor(first / 1000), ["a", "b", "c"].indexOf(name));
      assertEquals(targets[8 * row], first + 1);
    }
  }
  const starts = batches.flatMap(({ domains, tokens }) =>
    domains.flatMap((name, row) => name === "a" ? [tokens[8 * row]!] : [])
  );
  // One row from each eighth of the hundred windows.
  assertEquals(starts.map((start) => Math.floor((start / 8 + 0.5) / 12.5)), [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
  ]);
  assertEquals([...mixedBatches(plan, 6)], batches);
});

Deno.test("a sample of documents and rows does not fall in step with a period", () => {
  for (const period of [2, 4, 8]) {
    const sample = new EvenSample(1000);
    for (let i = 0; i < 20_000; i++) sample.add(String(i % period).repeat(10));
    const { texts } = sample;
    assert(texts.length >= 100 && texts.length <= 200, `${texts.length}`);
    for (let phase = 0; phase < period; phase++) {
      const share = texts.filter((text) => text.startsWith(`${phase}`)).length / texts.length;
      assert(share > 0.4 / period && share < 1.8 / period, `${phase} of ${period}: ${share}`);
    }
    const windows = Array.from({ length: 512 }, (_, row) => drawnWindow(row, 512, 512 * period));
    for (let phase = 0; phase < period; phase++) {
      const share = windows.filter((window) => window % period === phase).length / 512;
      assert(share > 0.7 / period && share < 1.3 / period, `${phase} of ${period}: ${share}`);
    }
  }
});

Deno.test("a sample keeps enough, whatever the lengths of the documents", () => {
  for (const giant of [0, 1, 2, 3, 50, 99]) {
    const sample = new EvenSample(100);
    for (let i = 0; i < 100; i++) sample.add("x".repeat(i === giant ? 1000 : 1));
    const kept = sample.texts.join("").length;
    assert(kept >= 100, `${giant}: ${kept}`);
  }
  const short = new EvenSample(100);
  for (const text of ["a", "b", "c"]) short.add(text);
  assertEquals(short.texts, ["a", "b", "c"]);
});
