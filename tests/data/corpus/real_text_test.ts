import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { BatchSampler } from "../../../lib/data/batches/batch_sampler.ts";
import { ByteTokenizer } from "../../../lib/data/tokenizer/byte_tokenizer.ts";
import { prepareCorpus } from "../../../lib/data/corpus/corpus.ts";
import { textFiles } from "../../../lib/data/text/text_files.ts";
import { readAllTokens } from "../../../lib/data/corpus/token_stream.ts";

/** Corpora too large for the repository: `$REMOE_SHARED_DATA`, or a folder beside the checkout. */
const SHARED = Deno.env.get("REMOE_SHARED_DATA") ??
  fileURLToPath(new URL("../../../../shared/data", import.meta.url));

const DOMAINS = ["arxiv", "books", "c4", "github", "stackexchange", "wikipedia"];

for (const domain of DOMAINS) {
  const path = join(SHARED, "domains", domain, "valid.jsonl.gz");
  Deno.test({
    name: `the whole way of the data keeps real text (${domain})`,
    ignore: !isThere(path),
    async fn() {
      const texts = await readTexts(path);
      const tokenizer = new ByteTokenizer();
      const corpus = await prepareCorpus(textFiles([path]), tokenizer, { cacheFolder: false });
      assertEquals([...corpus.train.domains.keys()], [domain]);
      for (const { tokens, documents } of [corpus.train, corpus.validation]) {
        const all = readAllTokens(tokens, tokenizer.vocabularySize);
        const decoded = tokenizer.decode(all, { endOfDocument: "\0" }).split("\0");
        assertEquals(decoded.length, documents + 1);
        assert(decoded.slice(0, -1).every((text) => texts.includes(text)));
      }
      const sampler = new BatchSampler(corpus.train.tokens, { sequence: 256, seed: 1 });
      const { tokens, targets } = sampler.next(sampler.windows);
      assertEquals(tokens.subarray(1, 256), targets.subarray(0, 255));
    },
  });
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

async function readTexts(path: string): Promise<string[]> {
  const file = await Deno.open(path);
  const stream = file.readable.pipeThrough(new DecompressionStream("gzip"));
  const lines = (await new Response(stream).text()).split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line).text);
}
