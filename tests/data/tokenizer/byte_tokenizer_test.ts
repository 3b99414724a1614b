import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";

import { DataError } from "../../../lib/data/errors.ts";
import { ByteTokenizer } from "../../../lib/data/tokenizer/byte_tokenizer.ts";
import { openTokenizer, TOKENIZER_NAMES } from "../../../lib/data/tokenizer/open_tokenizer.ts";
import { ConfigError } from "../../../lib/errors.ts";

const tokenizer = new ByteTokenizer();
const anyText = fc.string({ unit: "binary" });
const anyTokens = fc.array(fc.integer({ min: -2, max: 300 }));

Deno.test("`ByteTokenizer` round-trips any text", () => {
  fc.assert(fc.property(anyText, (text) => {
    const tokens = tokenizer.encode(text);
    assertEquals(tokenizer.decode(tokens), text);
    assertEquals(tokenizer.byteLength(tokens), tokens.length);
  }));
});

Deno.test("`ByteTokenizer` keeps a byte-order mark inside a text", () => {
  assertEquals(tokenizer.decode(tokenizer.encode("\ufeffa")), "\ufeffa");
});

Deno.test("`ByteTokenizer.encode()` refuses a lone surrogate", () => {
  assertThrows(() => tokenizer.encode("a\ud800b"), DataError, "character 1 is half a surrogate");
});

Deno.test("`ByteTokenizer.decode()` accepts any tokens, and `bytesOf()` returns as many bytes as counted", () => {
  fc.assert(fc.property(anyTokens, (tokens) => {
    assertEquals(typeof tokenizer.decode(tokens), "string");
    assertEquals(tokenizer.bytesOf(tokens).length, tokenizer.byteLength(tokens));
  }));
});

Deno.test("`ByteTokenizer.decode()` shows U+FFFD for incomplete characters and unknown ids", () => {
  assertEquals(tokenizer.decode([0x61, 0xe2, 0x82]), "a\ufffd");
  assertEquals(tokenizer.decode([0x61, 257, 0x62]), "a\ufffdb");
});

Deno.test("`ByteTokenizer.decode()` omits the end of a document unless told to show it", () => {
  const tokens = Int32Array.of(0x61, 256, 0x62, 256);
  assertEquals(tokenizer.decode(tokens), "ab");
  assertEquals(tokenizer.decode(tokens, { endOfDocument: "|" }), "a|b|");
});

Deno.test("`ByteTokenizer.decode()` does not join half characters of two documents", () => {
  assertEquals(tokenizer.decode([0xc3, 256, 0xa9]), "\ufffd\ufffd");
});

Deno.test("`ByteTokenizer.byteLength()` does not count the end of a document", () => {
  assertEquals(tokenizer.byteLength([0x61, 256, 0x62, 256]), 2);
  assertEquals([...tokenizer.bytesOf([0x61, 256, 0x62, 256])], [0x61, 0x62]);
});

Deno.test("`openTokenizer()` opens each tokenizer by its name", async () => {
  for (const name of TOKENIZER_NAMES) assertEquals((await openTokenizer(name)).name, name);
});

Deno.test("`openTokenizer()` refuses unknown names and lists the known", async () => {
  for (const name of ["words", "", "toString"]) {
    await assertRejects(() => openTokenizer(name), ConfigError, `use one of "byte"`);
  }
});
