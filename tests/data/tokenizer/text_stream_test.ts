import { assertEquals } from "@std/assert";
import fc from "fast-check";

import { ByteTokenizer } from "../../../lib/data/tokenizer/byte_tokenizer.ts";
import { TextStream } from "../../../lib/data/tokenizer/text_stream.ts";

const tokenizer = new ByteTokenizer();

Deno.test("`TextStream` gives the same text as `decode()` for any tokens", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 258 })), (tokens) => {
    const stream = new TextStream(tokenizer, { endOfDocument: "|" });
    const text = tokens.map((token) => stream.push(token)).join("") + stream.end();
    assertEquals(text, tokenizer.decode(tokens, { endOfDocument: "|" }));
  }));
});

Deno.test("`TextStream` shows a character once its last byte arrives", () => {
  const stream = new TextStream(tokenizer);
  assertEquals([...tokenizer.encode("é€")].map((t) => stream.push(t)), ["", "é", "", "", "€"]);
});

Deno.test("`TextStream.end()` shows an incomplete character, and the stream can be reused", () => {
  const stream = new TextStream(tokenizer);
  assertEquals(stream.push(0xe2), "");
  assertEquals(stream.end(), "\ufffd");
  assertEquals(stream.push(0x61), "a");
});
