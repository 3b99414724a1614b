/** Texts as tokens: where they are split, and what is cut. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DataError } from "../../lib/data/errors.ts";
import { ByteTokenizer } from "../../lib/data/tokenizer/byte_tokenizer.ts";
import type { Tokenizer } from "../../lib/data/tokenizer/tokenizer.ts";
import { encodeRequest, rollingRequests } from "../../lib/evaluate/request.ts";
import { batchesBySize } from "../../lib/evaluate/scorer.ts";
import { splitTrailingSpace, trimmed } from "../../lib/evaluate/spaces.ts";

const tokenizer = new ByteTokenizer();
const END = tokenizer.endOfDocument;

/** A request as text: `|` before what is scored, `∎` for the end of a document. */
function shown(context: string, continuation: string, maxLength = 100, bos = false): string {
  const options = { tokenizer, maxLength, bos };
  const { tokens, scored, isCut } = encodeRequest(context, continuation, options);
  const text = (part: Int32Array) => tokenizer.decode(part, { endOfDocument: "∎" });
  return `${text(tokens.subarray(0, -scored))}|${text(tokens.subarray(-scored))}${
    isCut ? " cut" : ""
  }`;
}

Deno.test("spaces at the context's end belong to the continuation", () => {
  assertEquals(shown("ab", " cd"), "ab| cd");
  assertEquals(shown("ab \n", " cd"), "ab| \n cd");
  assertEquals(shown("", " cd"), "∎| cd");
  assertEquals(shown("  ", "cd"), "∎|  cd");
  assertEquals(shown("ab", " cd", 100, true), "∎ab| cd");
  assertEquals(shown("", " cd", 100, true), "∎| cd");
});

Deno.test("white space is Python's", () => {
  // U+0085 and U+001C are white space there and not in JavaScript; U+FEFF the other way round.
  assertEquals(splitTrailingSpace("a\u0085\x1c\u3000"), ["a", "\u0085\x1c\u3000"]);
  assertEquals(splitTrailingSpace("a\ufeff"), ["a\ufeff", ""]);
  assertEquals(trimmed("\x1f a b\u2003"), "a b");
});

Deno.test("contexts are cut on the left; the last token is scored, not read", () => {
  // Six tokens, of which five are read.
  assertEquals(shown("abcd", "ef", 5), "abcd|ef");
  assertEquals(shown("abcd", "ef", 4), "bcd|ef cut");
  assertEquals(shown("abcd", "ef", 2), "d|ef cut");
  assertEquals(shown("abcd", "ef", 5, true), "abcd|ef cut");
  const error = assertThrows(() => shown("abcd", "ef", 1), DataError);
  assert(error.message.includes("it has 2 tokens, expected 1 to 1"), error.message);
  assertThrows(() => shown("abcd", ""), DataError, "it has 0 tokens");
});

Deno.test("context and continuation are encoded together, split at the context's tokens", () => {
  /** Merges "bc", as a tokenizer does across the border of two texts. */
  const merging: Tokenizer = {
    ...{ name: "merging", vocabularySize: 301, endOfDocument: 300 },
    encode: (text) =>
      Int32Array.from(
        text.match(/bc|./g) ?? [],
        (piece) => piece === "bc" ? 299 : piece.charCodeAt(0),
      ),
    decode: () => "",
    bytesOf: () => new Uint8Array(),
    byteLength: (tokens) => tokens.length,
  };
  const encoded = encodeRequest("ab", "cd", { tokenizer: merging, maxLength: 9 });
  // Alone the context is a, b; together a, bc, d: the third is left for the continuation.
  assertEquals([[...encoded.tokens], encoded.scored], [[97, 98, 100], 1]);
});

Deno.test("rolling windows score each token of a document once", () => {
  const tokens = Array.from({ length: 10 }, (_, i) => i);
  const windows = (maxLength: number) =>
    rollingRequests(tokens, { tokenizer, maxLength }).map((
      each,
    ) => [[...each.tokens], each.scored]);
  assertEquals(windows(4), [
    [[END, 0, 1, 2, 3], 4],
    [[3, 4, 5, 6, 7], 4],
    // Filled up: four tokens are read although only two are left to score.
    [[5, 6, 7, 8, 9], 2],
  ]);
  assertEquals(windows(10), [[[END, ...tokens], 10]]);
  assertEquals(windows(100), [[[END, ...tokens], 10]]);
  assertEquals(windows(1).length, 10);
  assertEquals(rollingRequests([], { tokenizer, maxLength: 4 }), []);
});

Deno.test("batches hold things of similar size, the largest first", () => {
  assertEquals(batchesBySize([1, 9, 5, 5, 2], 10), [[1], [2, 3], [4, 0]]);
  assertEquals(batchesBySize([20, 1], 10), [[0], [1]]);
  assertEquals(batchesBySize([], 10), []);
});
