import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";

import { DataError } from "../../lib/data/errors.ts";
import { loadShards, saveShards } from "../../lib/data/shards.ts";
import type { Corpus } from "../../lib/data/tokenized_text.ts";

const counting = (length: number) => Uint16Array.from({ length }, (_, i) => i);
const CORPUS: Corpus = {
  source: "numbers",
  contentHash: "hash",
  tokenizer: { name: "numbers", vocabularySize: 65_536, endOfDocument: 65_535 },
  validationFraction: 0.1,
  train: { tokens: counting(1001), documents: 3, bytes: 998 },
  validation: { tokens: counting(100), documents: 1, bytes: 99 },
};

Deno.test("`saveShards()` cuts long texts in shards, which `loadShards()` joins", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await saveShards(folder, "key", CORPUS, 100);
    const files = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
    assertEquals(files.filter((name) => name.startsWith("train-")).length, 11);
    assertEquals(files.filter((name) => name.startsWith("validation-")).length, 1);
    assertEquals((await Deno.stat(join(folder, "train-00010.bin"))).size, 2);
    assertEquals(await loadShards(folder, "key"), CORPUS);

    await Deno.rename(join(folder, "train-00001.bin"), join(folder, "train-00002.bin"));
    await assertRejects(() => loadShards(folder, "key"), DataError, "train-00001.bin");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("`loadShards()` refuses what was saved under another key", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await saveShards(folder, "key", CORPUS);
    await assertRejects(() => loadShards(folder, "other"), DataError, "of another text");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("`loadShards()` finds nothing in a folder without a manifest, or in none", async () => {
  const folder = await Deno.makeTempDir();
  assertEquals(await loadShards(folder, "key"), undefined);
  await Deno.remove(folder);
  assertEquals(await loadShards(folder, "key"), undefined);
});
