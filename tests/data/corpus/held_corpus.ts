/** A program that prints the bytes that a cached corpus holds in memory. */
import { prepareCorpus } from "../../../lib/data/mod.ts";
import { LARGE_TEXT, slowTokenizer } from "./slow_corpus.ts";

const [cacheFolder = ""] = Deno.args;
const prepare = () => prepareCorpus(LARGE_TEXT, slowTokenizer(0), { cacheFolder });

/** Bytes in use after garbage collection; another thread frees buffers later. */
async function heldBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    (globalThis as unknown as { gc(): void }).gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

await prepare();
const before = await heldBytes();
const { train } = await prepare();
const window = new Int32Array(257);
for (let i = 0; i < 1000; i++) {
  train.tokens.read((i * 7919) % (train.tokens.length - window.length), window);
}
console.log(await heldBytes() - before);
