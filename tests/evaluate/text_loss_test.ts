/** Bits per byte of texts, with scores that are known. */
import { assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DataError } from "../../lib/data/errors.ts";
import { memoryStream } from "../../lib/data/corpus/token_stream.ts";
import type { CorpusSide } from "../../lib/data/corpus/tokenized_text.ts";
import type { Document, TextSource } from "../../lib/data/text/document.ts";
import { ByteTokenizer } from "../../lib/data/tokenizer/byte_tokenizer.ts";
import type { Scorer } from "../../lib/evaluate/scorer.ts";
import { documentsIn, documentsOf, measureText, windowsOf } from "../../lib/evaluate/text_loss.ts";
import { LogitsError } from "../../lib/generate/logits_error.ts";

const tokenizer = new ByteTokenizer();

/** Scores each token with the negative of its id. */
const bySum: Scorer = {
  cost: () => 0,
  score: (items) =>
    items.map((requests) =>
      requests.map(({ tokens, scored }) => ({
        logLikelihood: -tokens.subarray(-scored).reduce((sum, token) => sum + token, 0),
        isGreedy: false,
      }))
    ),
};

function source(documents: readonly Omit<Document, "id">[]): TextSource {
  return {
    name: "texts",
    async *documents() {
      for (const [i, document] of documents.entries()) yield { id: `${i}`, ...document };
    },
  };
}

const TEXTS = [
  { text: "\x01\x02\x03\x04\x05", domain: "a" },
  { text: "\x07", domain: "b" },
  { text: "\x02\x02", domain: "a" },
];

Deno.test("bits per byte and loss are sums over documents, by domain and overall", async () => {
  const domains = await documentsOf(source(TEXTS), { tokenizer, maxLength: 2 });
  // Windows of two tokens, the last one filled up: 2 + 2 + 2, then 1, then 2.
  const windows = windowsOf([...domains.values()].flat()).flat();
  assertEquals(windows.map(({ tokens }) => tokens.length - 1), [2, 2, 2, 2, 1]);
  const { domains: [a, b], all } = (({ domains, all }) => ({ domains: [...domains], all }))(
    measureText(domains, bySum),
  );
  assertEquals([a![0], b![0]], ["a", "b"]);
  assertEquals([a![1].documents, a![1].tokens, a![1].bytes], [2, 7, 7]);
  assertAlmostEquals(a![1].loss, 19 / 7, 1e-12);
  assertAlmostEquals(a![1].bitsPerByte, 19 / 7 / Math.LN2, 1e-12);
  // Residuals of a ratio: 15 - 5 * 19/7 and 4 - 2 * 19/7, which are ±10/7.
  const residual = 10 / 7;
  const error = Math.sqrt(2 * residual ** 2 * 2) / 7 / Math.LN2;
  assertAlmostEquals(a![1].standardError!, error, 1e-12);
  assertEquals([b![1].loss, b![1].standardError], [7, null]);
  assertAlmostEquals(all.loss, 26 / 8, 1e-12);
});

Deno.test("a limit takes the first documents of each domain", async () => {
  const options = { tokenizer, maxLength: 9, limit: 1 };
  const { all } = measureText(await documentsOf(source(TEXTS), options), bySum);
  assertEquals([all.documents, all.tokens], [2, 6]);
});

Deno.test("a run's text is split where its documents end", () => {
  const end = tokenizer.endOfDocument;
  const tokens = memoryStream(Uint16Array.from([1, 2, end, end, 3, end, 4]));
  const domains = new Map([["a", { tokens }]]);
  const side = { domains, tokens } as unknown as CorpusSide;
  const { all } = measureText(documentsIn(side, { tokenizer, maxLength: 9 }), bySum);
  assertEquals([all.documents, all.tokens, all.loss], [3, 4, 2.5]);
  const first = measureText(documentsIn(side, { tokenizer, maxLength: 9, limit: 1 }), bySum);
  assertEquals([first.all.documents, first.all.tokens], [1, 2]);
});

Deno.test("text without characters, and losses that are no numbers, are refused", async () => {
  const options = { tokenizer, maxLength: 9 };
  assertThrows(() => measureText(new Map(), bySum), DataError, "no characters");
  const broken: Scorer = {
    cost: () => 0,
    score: (items) => items.map(() => [{ logLikelihood: NaN, isGreedy: true }]),
  };
  const domains = await documentsOf(source(TEXTS), options);
  assertThrows(() => measureText(domains, broken), LogitsError, "the text of a");
  const bad = source([{ text: "\ud800" }]);
  await assertRejects(() => documentsOf(bad, options), DataError);
});
