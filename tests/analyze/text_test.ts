import { assert, assertEquals } from "@std/assert";
import { sampleText } from "../../lib/analyze/held_out_text.ts";
import { tokenText } from "../../lib/analyze/passage.ts";
import { readAllTokens } from "../../lib/data/corpus/token_stream.ts";
import type { Document, TextSource } from "../../lib/data/text/document.ts";
import { ByteTokenizer } from "../../lib/data/tokenizer/byte_tokenizer.ts";

function sourceOf(documents: readonly Document[]): TextSource {
  return {
    name: "documents",
    async *documents() {
      for (const document of documents) yield await Promise.resolve(document);
    },
  };
}

Deno.test("`sampleText()` keeps short domains whole, and an even sample of long ones", async () => {
  const tokenizer = new ByteTokenizer();
  const long = Array.from({ length: 1000 }, (_, i) => ({
    id: `${i}`,
    domain: "long",
    text: String.fromCharCode(97 + Math.floor(i / 100)).repeat(10),
  }));
  const short = { id: "s", text: "né", domain: "short" };
  const text = await sampleText(sourceOf([...long, short, { id: "n", text: "x" }]), tokenizer, 100);
  assertEquals([...text.keys()], ["long", "short", "text"]);
  assertEquals([...readAllTokens(text.get("short")!, 257)], [110, 195, 169, 256]);
  const kept = tokenizer.decode(readAllTokens(text.get("long")!, 257));
  assert(kept.length >= 800 && kept.length <= 1600, `${kept.length}`);
  // Each tenth of the text has about a tenth of the sample.
  for (let letter = 0; letter < 10; letter++) {
    const share = kept.split(String.fromCharCode(97 + letter)).length / kept.length;
    assert(share > 0.07 && share < 0.13, `${letter}: ${share}`);
  }
});

Deno.test("`tokenText()` shows bytes of partial characters in hexadecimal", () => {
  const tokenizer = new ByteTokenizer();
  assertEquals([97, 10, 195, 256].map((id) => tokenText(id, tokenizer)), [
    "a",
    "\n",
    "⟨c3⟩",
    "end of document",
  ]);
});
