import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";

import { prepareCorpus } from "../../../lib/data/corpus/corpus.ts";
import type { CorpusEvent } from "../../../lib/data/corpus/options.ts";
import type { Document, TextSource } from "../../../lib/data/text/document.ts";
import { DataError } from "../../../lib/data/errors.ts";
import { textsInMemory } from "../../../lib/data/text/memory_source.ts";
import { readAllTokens } from "../../../lib/data/corpus/token_stream.ts";
import { plain, prepare, tokenizer, withCache } from "./prepare_corpus.ts";

Deno.test("`prepareCorpus()` keeps every document with its end token, and counts bytes", async () => {
  const texts = fc.array(fc.string({ unit: "binary" }), { minLength: 2 });
  await fc.assert(fc.asyncProperty(texts, async (texts) => {
    fc.pre(texts.filter((text) => [...text].length > 1).length > 1);
    const { corpus } = await prepare(false, textsInMemory(texts));
    for (const { tokens, documents, bytes } of [corpus.train, corpus.validation]) {
      assertEquals(tokens.at(-1), tokenizer.endOfDocument);
      assertEquals(tokens.filter((token) => token === 256).length, documents);
      assertEquals(tokenizer.byteLength(tokens), bytes);
      assertEquals(tokens.length, bytes + documents);
    }
    const total = texts.reduce((sum, text) => sum + new TextEncoder().encode(text).length, 0);
    assertEquals(corpus.train.bytes + corpus.validation.bytes, total);
  }));
});

Deno.test("`prepareCorpus()` reports its progress to the last byte", async () => {
  const { corpus, events } = await prepare(false);
  const progress = events.filter((event) => event.kind === "tokenizing");
  const total = corpus.train.bytes + corpus.validation.bytes;
  assert(progress.length > 0);
  assertEquals(progress.at(-1), { kind: "tokenizing", bytes: total, totalBytes: total });
});

Deno.test("`prepareCorpus()` refuses a text that changes while being read", async () => {
  const first = ["a text", "b text"];
  for (const second of [["a text", "c text"], ["a text"], ["a text", "b text", "c text"]]) {
    let reading = 0;
    const source: TextSource = {
      name: "restless",
      async *documents(): AsyncGenerator<Document> {
        for (const text of reading++ === 0 ? first : second) yield { id: text, text };
      },
    };
    await assertRejects(() => prepare(false, source), DataError, "changed while it was read");
  }
});

Deno.test("`prepareCorpus()` refuses an empty text", async () => {
  for (const texts of [[], ["", ""]]) {
    await assertRejects(() => prepare(false, textsInMemory(texts)), DataError, "it is empty");
  }
});

const ROWS: readonly Document[] = Array.from({ length: 30 }, (_, i) => ({
  id: `${i}`,
  text: `Text number ${i} of its domain. `.repeat(4),
  domain: ["books", "code", "news"][i % 3]!,
}));
const mixed: TextSource = {
  name: "mixed",
  async *documents(): AsyncGenerator<Document> {
    yield* ROWS;
  },
};

Deno.test("`prepareCorpus()` keeps domains apart and joins them in the order of their first texts", async () => {
  const corpus = await prepareCorpus(mixed, tokenizer, { cacheFolder: false });
  for (const side of [corpus.train, corpus.validation]) {
    const texts = [...side.domains].map(([name, { tokens, documents }]) => {
      const decoded = tokenizer.decode(readAllTokens(tokens, 257), { endOfDocument: "\0" });
      const ours = ROWS.filter(({ domain, text }) => domain === name && decoded.includes(text));
      assertEquals(decoded, ours.map(({ text }) => `${text}\0`).join(""));
      assertEquals(documents, ours.length);
      return decoded;
    });
    const all = tokenizer.decode(readAllTokens(side.tokens, 257), { endOfDocument: "\0" });
    assertEquals(all, texts.join(""));
  }
  assertEquals([...corpus.train.domains.keys()].toSorted(), ["books", "code", "news"]);
});

Deno.test("`prepareCorpus()` uses separate validation text", async () => {
  await withCache(async (cacheFolder) => {
    const validation = textsInMemory(["Held out.", "So is this."], "held");
    const prepared = async () =>
      plain(await prepareCorpus(mixed, tokenizer, { validation, cacheFolder }));
    const corpus = await prepared();
    assertEquals(corpus.train.documents, ROWS.length);
    assertEquals(tokenizer.decode(corpus.validation.tokens), "Held out.So is this.");
    assertEquals(corpus.validationFraction, null);
    assertEquals(await prepared(), corpus);
  });
});

Deno.test("`prepareCorpus()` counts validation documents that are also trained on", async () => {
  await withCache(async (cacheFolder) => {
    const texts = ["Held out.", ROWS[3]!.text, "So is this.", ROWS[7]!.text, ROWS[7]!.text];
    const validation = textsInMemory(texts, "held");
    for (let i = 0; i < 2; i++) {
      const events: CorpusEvent[] = [];
      const onEvent = (event: CorpusEvent) => events.push(event);
      await prepareCorpus(mixed, tokenizer, { validation, cacheFolder, onEvent });
      assertEquals(events.at(-1), { kind: "shared-documents", shared: 3, documents: 5 });
    }
  });
});

Deno.test("`prepareCorpus()` takes any number of documents and domains", async () => {
  const source: TextSource = {
    name: "many",
    async *documents(): AsyncGenerator<Document> {
      for (let i = 0; i < 150_000; i++) yield { id: `${i}`, text: `${i}`, domain: `${i >> 1}` };
    },
  };
  const { train, validation } = await prepareCorpus(source, tokenizer, { cacheFolder: false });
  assertEquals(train.documents + validation.documents, 150_000);
  assert(train.domains.size > 70_000);
});
