import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { type CorpusEvent, prepareCorpus } from "../../../lib/data/mod.ts";
import { readAllTokens } from "../../../lib/data/corpus/token_stream.ts";
import { LARGE_TEXT, slowTokenizer } from "./slow_corpus.ts";

/** Waits until a preparation has written its second chunk. */
async function secondChunk(cacheFolder: string): Promise<void> {
  for (;;) {
    const tokens = join(cacheFolder, "tokens");
    const [key] = await Array.fromAsync(Deno.readDir(tokens), ({ name }) => name).catch(() => []);
    if (key !== undefined) {
      const info = await Deno.stat(join(tokens, key, "chunk-00001.json")).catch(() => null);
      if (info !== null) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

Deno.test("a killed preparation continues after its last chunk", async () => {
  const cacheFolder = await Deno.makeTempDir();
  try {
    const program = fileURLToPath(new URL("./slow_corpus.ts", import.meta.url));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", program, cacheFolder],
      stdout: "null",
      stderr: "null",
    }).spawn();
    await secondChunk(cacheFolder);
    child.kill("SIGKILL");
    await child.status;

    const events: CorpusEvent[] = [];
    const onEvent = (event: CorpusEvent) => events.push(event);
    const corpus = await prepareCorpus(LARGE_TEXT, slowTokenizer(0), { cacheFolder, onEvent });
    const [first] = events;
    assert(first?.kind === "continued" && first.bytes === 8 << 20, JSON.stringify(first));
    assertEquals(events.filter(({ kind }) => kind === "continued").length >= 2, true);
    assertEquals(events.at(-1)?.kind, "cache-saved");

    const straight = await prepareCorpus(LARGE_TEXT, slowTokenizer(0), { cacheFolder: false });
    for (const side of ["train", "validation"] as const) {
      assertEquals(corpus[side].documents, straight[side].documents);
      const [ours, theirs] = [corpus, straight].map((each) =>
        readAllTokens(each[side].tokens, 257)
      );
      assert(ours!.every((token, i) => token === theirs![i]));
    }
  } finally {
    await Deno.remove(cacheFolder, { recursive: true });
  }
});

Deno.test("a corpus on disk is not loaded into memory", async () => {
  const cacheFolder = await Deno.makeTempDir();
  try {
    const program = fileURLToPath(new URL("./held_corpus.ts", import.meta.url));
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--v8-flags=--expose-gc", program, cacheFolder],
      stderr: "inherit",
    }).output();
    const grown = Number(new TextDecoder().decode(stdout));
    // Two bytes for each of forty million tokens would be 80 MB.
    assert(Number.isFinite(grown) && grown < 10e6, `${grown} bytes`);
  } finally {
    await Deno.remove(cacheFolder, { recursive: true });
  }
});
