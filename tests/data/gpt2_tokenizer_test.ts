import { assertEquals } from "@std/assert";
import fc from "fast-check";

import { openTokenizer } from "../../lib/data/open_tokenizer.ts";
import { TextStream } from "../../lib/data/text_stream.ts";

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

Deno.test("the gpt2 tokenizer gives the ids of GPT-2, and takes special tokens as text", () => {
  assertEquals([...tokenizer.encode(GOLDEN.text)], GOLDEN.tokens);
  assertEquals(tokenizer.decode(GOLDEN.tokens), GOLDEN.text);
  assertEquals([tokenizer.vocabularySize, tokenizer.endOfDocument], [50_257, 50_256]);
});

Deno.test("the gpt2 tokenizer gives back any text and counts its bytes", () => {
  fc.assert(fc.property(anyText, (text) => {
    const tokens = tokenizer.encode(text);
    assertEquals(tokenizer.decode(tokens), text);
    assertEquals(tokenizer.byteLength(tokens), new TextEncoder().encode(text).length);
    assertEquals(tokenizer.bytesOf(tokens), new TextEncoder().encode(text));
  }));
});

Deno.test("the gpt2 tokenizer counts lone surrogates as U+FFFD and unknown ids too", () => {
  assertEquals(tokenizer.decode(tokenizer.encode("a\ud800b")), "a\ufffdb");
  assertEquals(tokenizer.decode([64, 60_000, 50_256, 65], { endOfDocument: "|" }), "a\ufffd|b");
});

Deno.test("a `TextStream` shows characters that are spread over tokens of gpt2 once they are whole", () => {
  const stream = new TextStream(tokenizer);
  const pieces = [...tokenizer.encode("🦊!")].map((token) => stream.push(token));
  assertEquals(pieces.join(""), "🦊!");
  assertEquals(pieces[0], "");
});
