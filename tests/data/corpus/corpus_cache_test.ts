import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { join } from "node:path";

import { CacheLease } from "../../../lib/data/corpus/cache_lease.ts";
import { corpusHash, prepareCorpus } from "../../../lib/data/corpus/corpus.ts";
import type { CorpusEvent } from "../../../lib/data/corpus/options.ts";
import type { TextSource } from "../../../lib/data/text/document.ts";
import { textsInMemory } from "../../../lib/data/text/memory_source.ts";
import { textFiles } from "../../../lib/data/text/text_files.ts";
import type { Tokenizer } from "../../../lib/data/tokenizer/tokenizer.ts";
import { prepare, TEXTS, tokenizer, withCache } from "./prepare_corpus.ts";

/** A tokenizer whose ids need four bytes each. */
const wide: Tokenizer = {
  name: "wide",
  vocabularySize: 100_000,
  endOfDocument: 99_999,
  encode: (text) => tokenizer.encode(text).map((token) => token + 90_000),
  decode: (tokens, options) => tokenizer.decode(narrow(tokens), options),
  bytesOf: (tokens) => tokenizer.bytesOf(narrow(tokens)),
  byteLength: (tokens) => tokenizer.byteLength(narrow(tokens)),
};
const narrow = (tokens: ArrayLike<number>) =>
  Array.from(tokens, (token) => token === 99_999 ? 256 : token - 90_000);

/** The only folder of cached tokens, and its files. */
async function cached(cacheFolder: string): Promise<{ folder: string; files: string[] }> {
  const root = join(cacheFolder, "tokens");
  const [key, ...others] = await Array.fromAsync(Deno.readDir(root), ({ name }) => name);
  assert(key !== undefined && others.length === 0);
  const folder = join(root, key);
  const files = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  return { folder, files: files.toSorted() };
}

Deno.test("`prepareCorpus()` loads what it saved in the cache", async () => {
  await withCache(async (cacheFolder) => {
    const first = await prepare(cacheFolder);
    const second = await prepare(cacheFolder);
    assertEquals([first.kinds, second.kinds], [["cache-saved"], ["cache-loaded"]]);
    assertEquals(second.corpus, first.corpus);
    const { files } = await cached(cacheFolder);
    assertEquals(files, ["chunk-00000.bin", "manifest.json"]);
  });
});

Deno.test("`prepareCorpus()` saves tokens as two or four little-endian bytes", async () => {
  for (const [by, width] of [[tokenizer, 2], [wide, 4]] as const) {
    await withCache(async (cacheFolder) => {
      const { corpus } = await prepare(cacheFolder, textsInMemory(TEXTS), by);
      const { folder } = await cached(cacheFolder);
      const { size } = await Deno.stat(join(folder, "chunk-00000.bin"));
      const tokens = corpus.train.tokens.length + corpus.validation.tokens.length;
      assertEquals(size, width * tokens);
      assertEquals((await prepare(cacheFolder, textsInMemory(TEXTS), by)).corpus, corpus);
    });
  }
});

Deno.test("`prepareCorpus()` caches each text, tokenizer and fraction separately", async () => {
  await withCache(async (cacheFolder) => {
    await prepare(cacheFolder);
    const others = [
      await prepare(cacheFolder, textsInMemory([...TEXTS, "One more."])),
      await prepare(cacheFolder, textsInMemory(TEXTS), wide),
      await prepare(cacheFolder, textsInMemory(TEXTS), tokenizer, 0.2),
      await prepare(cacheFolder, textsInMemory(TEXTS.toReversed())),
    ];
    assertEquals(others.map(({ kinds }) => kinds), others.map(() => ["cache-saved"]));
  });
});

Deno.test("`prepareCorpus()` finds a text again under another name, and reports the new name", async () => {
  await withCache(async (cacheFolder) => {
    const first = await prepare(cacheFolder, textsInMemory(TEXTS, "one"));
    const second = await prepare(cacheFolder, textsInMemory(TEXTS, "another"));
    assertEquals(second.kinds, ["cache-loaded"]);
    assertEquals(second.corpus, { ...first.corpus, source: "another" });
  });
});

const DAMAGES: Record<string, (folder: string) => Promise<void>> = {
  "a chunk that is cut": (folder) => Deno.truncate(join(folder, "chunk-00000.bin"), 10),
  "a chunk with one bit turned": async (folder) => {
    const path = join(folder, "chunk-00000.bin");
    const bytes = await Deno.readFile(path);
    bytes[3]! ^= 1;
    await Deno.writeFile(path, bytes);
  },
  "a missing chunk": (folder) => Deno.remove(join(folder, "chunk-00000.bin")),
  "a manifest that is cut": (folder) => Deno.truncate(join(folder, "manifest.json"), 40),
  "a manifest that is no object": (folder) =>
    Deno.writeTextFile(join(folder, "manifest.json"), "null"),
  "a manifest with another count": (folder) =>
    edit(join(folder, "manifest.json"), /"documents": (\d+)/, `"documents": 1$1`),
  "a manifest with another tokenizer": (folder) =>
    edit(join(folder, "manifest.json"), /"endOfDocument": 256/, `"endOfDocument": 255`),
  "a manifest of another text": (folder) =>
    edit(join(folder, "manifest.json"), /"key": "./, `"key": "x`),
};

async function edit(path: string, pattern: RegExp, replacement: string): Promise<void> {
  const before = await Deno.readTextFile(path);
  const after = before.replace(pattern, replacement);
  assertNotEquals(after, before);
  await Deno.writeTextFile(path, after);
}

for (const [what, damage] of Object.entries(DAMAGES)) {
  Deno.test(`\`prepareCorpus()\` builds anew what has ${what}`, async () => {
    await withCache(async (cacheFolder) => {
      const first = await prepare(cacheFolder);
      await damage((await cached(cacheFolder)).folder);
      const second = await prepare(cacheFolder);
      assertEquals(second.kinds, ["cache-damaged", "cache-saved"]);
      assertEquals(second.corpus, first.corpus);
      assertEquals((await prepare(cacheFolder)).kinds, ["cache-loaded"]);
    });
  });
}

Deno.test("`prepareCorpus()` rebuilds what a killed program left without a manifest", async () => {
  await withCache(async (cacheFolder) => {
    await prepare(cacheFolder);
    const { folder } = await cached(cacheFolder);
    await Deno.remove(join(folder, "manifest.json"));
    await Deno.truncate(join(folder, "chunk-00000.bin"), 10);
    assertEquals((await prepare(cacheFolder)).kinds, ["cache-saved"]);
    assertEquals((await prepare(cacheFolder)).kinds, ["cache-loaded"]);
  });
});

Deno.test("`prepareCorpus()` lets two programs build the same tokens at once", async () => {
  await withCache(async (cacheFolder) => {
    const both = await Promise.all([prepare(cacheFolder), prepare(cacheFolder)]);
    assertEquals(both[0].corpus, both[1].corpus);
    assertEquals((await cached(cacheFolder)).files.length, 2);
    assertEquals((await prepare(cacheFolder)).kinds, ["cache-loaded"]);
  });
});

Deno.test("`prepareCorpus()` keeps the tokens in memory if the folder cannot be created", async () => {
  await withCache(async (folder) => {
    const file = join(folder, "file");
    await Deno.writeTextFile(file, "");
    const { corpus, kinds } = await prepare(join(file, "cache"));
    assertEquals(kinds.at(-1), "cache-unavailable");
    assertEquals(corpus, (await prepare(false)).corpus);
  });
});

Deno.test({
  name: "`prepareCorpus()` works without any permission and says that it does not cache",
  permissions: "none",
  async fn() {
    const kinds: string[] = [];
    const onEvent = ({ kind }: CorpusEvent) => kinds.push(kind);
    await prepareCorpus(textsInMemory(["Some text to split."]), tokenizer, { onEvent });
    assertEquals([...new Set(kinds)], ["cache-unavailable", "tokenizing"]);
  },
});

Deno.test("`prepareCorpus()` does not report a cache that was not requested", async () => {
  assertEquals((await prepare(false)).kinds, []);
});

Deno.test("`prepareCorpus()` does not reread a cached text with a fingerprint", async () => {
  await withCache(async (cacheFolder) => {
    let readings = 0;
    const source = (fingerprint: string): TextSource => ({
      name: "counted",
      fingerprint,
      documents() {
        readings += 1;
        return textsInMemory(TEXTS).documents();
      },
    });
    const first = await prepare(cacheFolder, source("text@1"));
    const before = readings;
    const second = await prepare(cacheFolder, source("text@1"));
    assertEquals(readings, before);
    assertEquals(second.corpus, first.corpus);
    await prepare(cacheFolder, source("text@2"));
    assert(readings > before);
  });
});

Deno.test("`prepareCorpus()` does not reread unchanged files, and notices changed ones", async () => {
  await withCache(async (cacheFolder) => {
    const path = join(cacheFolder, "text.txt");
    const text = "A text of some length to split. ".repeat(20);
    await Deno.writeTextFile(path, text);
    const files = textFiles([path]);
    let readings = 0;
    const counted: TextSource = {
      ...files,
      documents(observer) {
        readings++;
        return files.documents(observer);
      },
    };
    const kinds = async () => (await prepare(cacheFolder, counted)).kinds;
    assertEquals([await kinds(), readings], [["cache-saved"], 2]);
    assertEquals([await kinds(), readings], [["cache-loaded"], 2]);
    await Deno.utime(path, 1, 1);
    assertEquals([await kinds(), readings], [["cache-loaded"], 2]);
    await Deno.writeTextFile(path, text.toUpperCase());
    await Deno.utime(path, 1, 1);
    const { corpus, kinds: changed } = await prepare(cacheFolder, counted);
    assertEquals([changed, readings], [["cache-saved"], 4]);
    assert(tokenizer.decode(corpus.train.tokens).startsWith("A TEXT"));
  });
});

Deno.test("`prepareCorpus()` repeats which files were skipped when the tokens come from the cache", async () => {
  await withCache(async (cacheFolder) => {
    const folder = join(cacheFolder, "texts");
    await Deno.mkdir(folder);
    await Deno.writeTextFile(join(folder, "a.txt"), "A text of some length to split.");
    await Deno.writeTextFile(join(folder, "b.txt"), "");
    const runs = [
      await prepare(cacheFolder, textFiles([folder])),
      await prepare(cacheFolder, textFiles([folder])),
    ];
    assertEquals(runs.map(({ kinds }) => kinds), [
      ["cache-saved", "passed-over"],
      ["cache-loaded", "passed-over"],
    ]);
    const found = [{ kind: "file", path: join(folder, "b.txt"), reason: "the file is empty" }];
    for (const { events } of runs) {
      assertEquals(events.at(-1) as unknown, { kind: "passed-over", found });
    }
  });
});

Deno.test("`prepareCorpus()` removes a killed program's partial files, not a running one's", async () => {
  await withCache(async (cacheFolder) => {
    await prepare(cacheFolder);
    const { folder } = await cached(cacheFolder);
    const temporary = join(folder, `chunk-00007.bin.${crypto.randomUUID()}.tmp`);
    const exists = () => Deno.stat(temporary).then(() => true, () => false);
    {
      using _other = await CacheLease.open(cacheFolder);
      await Deno.writeTextFile(temporary, "half a chunk");
      await prepare(cacheFolder, textsInMemory([...TEXTS, "One more."]));
      assertEquals(await exists(), true);
    }
    await prepare(cacheFolder, textsInMemory([...TEXTS, "Two more."]));
    assertEquals(await exists(), false);
    assertEquals((await prepare(cacheFolder)).kinds, ["cache-loaded"]);
  });
});

Deno.test("`corpusHash()` is the corpus's, and reads no documents of a text prepared before", async () => {
  await withCache(async (cacheFolder) => {
    const folder = join(cacheFolder, "texts");
    await Deno.mkdir(folder);
    const write = (text: string): Promise<void> => Deno.writeTextFile(join(folder, "a.txt"), text);
    await write("One text. ".repeat(50));
    let readings = 0;
    const files = textFiles([folder]);
    const source: TextSource = {
      ...files,
      documents: (observer) => (readings++, files.documents(observer)),
    };
    const before = await corpusHash(source, tokenizer, { cacheFolder });
    assertEquals(readings, 1);
    const { contentHash } = await prepareCorpus(source, tokenizer, { cacheFolder });
    readings = 0;
    const after = await corpusHash(source, tokenizer, { cacheFolder });
    assertEquals([before, after, readings], [contentHash, contentHash, 0]);
    await write("Two texts. ".repeat(50));
    assertNotEquals(await corpusHash(source, tokenizer, { cacheFolder }), contentHash);
    const validation = textsInMemory(["Held out."]);
    assertEquals(
      await corpusHash(source, tokenizer, { cacheFolder, validation }),
      (await prepareCorpus(source, tokenizer, { cacheFolder, validation })).contentHash,
    );
  });
});
