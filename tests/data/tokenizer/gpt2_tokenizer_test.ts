import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";

import { DataError } from "../../../lib/data/errors.ts";
import { BytePairs } from "../../../lib/data/tokenizer/byte_pairs.ts";
import { openTokenizer } from "../../../lib/data/tokenizer/open_tokenizer.ts";
import { TextStream } from "../../../lib/data/tokenizer/text_stream.ts";

const tokenizer = await openTokenizer("gpt2");
const anyText = fc.string({ unit: "binary" });

/** From tiktoken 1.0.22, encoding r50k_base, no special tokens. */
const GOLDEN = {
  text: "<|endoftext|> 日本語 🦊 naïve\r\n\t  it's 1234",
  tokens: [
    ...[27, 91, 437, 1659, 5239, 91, 29, 10545, 245, 98, 17312, 105, 45739, 252, 12520, 99],
    ...[232, 41492, 201, 198, 197, 220, 340, 338, 1105, 2682],
  ],
};

Deno.test("the gpt2 tokenizer produces GPT-2's ids, and treats special tokens as text", () => {
  assertEquals([...tokenizer.encode(GOLDEN.text)], GOLDEN.tokens);
  assertEquals(tokenizer.decode(GOLDEN.tokens), GOLDEN.text);
  assertEquals([tokenizer.vocabularySize, tokenizer.endOfDocument], [50_257, 50_256]);
});

Deno.test("the gpt2 tokenizer round-trips any text and counts its bytes", () => {
  fc.assert(fc.property(anyText, (text) => {
    const tokens = tokenizer.encode(text);
    assertEquals(tokenizer.decode(tokens), text);
    assertEquals(tokenizer.byteLength(tokens), new TextEncoder().encode(text).length);
    assertEquals(tokenizer.bytesOf(tokens), new TextEncoder().encode(text));
  }));
});

Deno.test("the gpt2 tokenizer refuses a lone surrogate", () => {
  for (const [text, place] of [["a\ud800b", 1], ["\udc00", 0], ["\u{1f600}\ud83d", 2]] as const) {
    const words = `character ${place} is half a surrogate pair`;
    assertThrows(() => tokenizer.encode(text), DataError, words);
  }
  assertEquals(tokenizer.decode(tokenizer.encode("a\u{1f600}b")), "a\u{1f600}b");
});

Deno.test("the gpt2 tokenizer counts unknown ids as U+FFFD", () => {
  assertEquals(tokenizer.decode([64, 60_000, 50_256, 65], { endOfDocument: "|" }), "a\ufffd|b");
});

Deno.test("a `TextStream` shows characters that span gpt2 tokens once complete", () => {
  const stream = new TextStream(tokenizer);
  const pieces = [...tokenizer.encode("🦊!")].map((token) => stream.push(token));
  assertEquals(pieces.join(""), "🦊!");
  assertEquals(pieces[0], "");
});

Deno.test("the gpt2 tokenizer matches tiktoken for odd spaces, cases and characters", async () => {
  // From tiktoken 0.14.0 with the pattern of r50k_base: text, ids.
  const url = new URL("./gpt2_ids.jsonl", import.meta.url);
  const lines = (await Deno.readTextFile(url)).trimEnd().split("\n");
  const rows = lines.map((line): [string, number[]] => JSON.parse(line));
  assert(rows.length > 200);
  for (const [text, ids] of rows) {
    assertEquals([...tokenizer.encode(text)], ids, JSON.stringify(text));
  }
});

Deno.test("the gpt2 tokenizer encodes long runs of one kind in almost linear time", () => {
  const started = performance.now();
  const word = tokenizer.encode("あ".repeat(300_000));
  assertEquals(new Set(word), new Set([40948]));
  assertEquals(word.length, 300_000);
  assertEquals(tokenizer.byteLength(tokenizer.encode(" ".repeat(300_000) + "x")), 300_001);
  // Takes a second or less; in quadratic time it would take minutes.
  assert(performance.now() - started < 30_000);
});

Deno.test("`BytePairs` merges the lowest id first, leftmost first", () => {
  const texts = ["a", "b", "ab", "ba", "aa", "aab", "abab", "bb", "abb", "baab", "aaaa"];
  const single = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  const bytesOf = (text: string) => new TextEncoder().encode(text);
  const tokens = [...single, ...texts.slice(2).map(bytesOf)];
  const ids = new Map(tokens.map((bytes, id) => [new TextDecoder("latin1").decode(bytes), id]));
  const pairs = new BytePairs(tokens);
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1 }), (text) => {
      const parts = [...text];
      for (;;) {
        const joins = parts.slice(1).map((right, i) => ids.get(parts[i]! + right) ?? Infinity);
        const lowest = joins.reduce((least, id) => Math.min(least, id), Infinity);
        if (lowest === Infinity) break;
        const at = joins.indexOf(lowest);
        parts.splice(at, 2, parts[at]! + parts[at + 1]!);
      }
      assertEquals([...pairs.encode(bytesOf(text))], parts.map((part) => ids.get(part)!));
    }),
  );
});
