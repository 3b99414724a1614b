import { requireText } from "../../arguments.ts";
import { checkArrayLike, checkWellFormed } from "../arguments.ts";
import { decodeDocuments, REPLACEMENT } from "./decode_documents.ts";
import type { DecodeOptions, Tokenizer } from "./tokenizer.ts";

const BYTES = 256;
const END_OF_DOCUMENT = 256;

/**
 * The bytes of UTF-8 as tokens 0 to 255, and 256 as the end of a document.
 *
 * It needs no vocabulary file and encodes any text. One token is one byte, so bits per token and
 * bits per byte nearly agree.
 *
 * @example
 * ```ts
 * import { ByteTokenizer } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const tokenizer = new ByteTokenizer();
 * assertEquals([...tokenizer.encode("né")], [110, 195, 169]);
 * assertEquals(tokenizer.decode([110, 195, 169, 256]), "né");
 * assertEquals(tokenizer.decode([110, 195]), "n\u{fffd}");
 * ```
 */
export class ByteTokenizer implements Tokenizer {
  /** `"byte"`. */
  readonly name = "byte";
  /** 257: the bytes and the end of document. */
  readonly vocabularySize: number = BYTES + 1;
  /** 256. */
  readonly endOfDocument: number = END_OF_DOCUMENT;

  /**
   * Encodes text.
   *
   * @param text The text.
   * @returns One token id per byte of its UTF-8.
   * @throws {TypeError} If it is not a string.
   * @throws {DataError} If UTF-8 cannot encode it, because it holds a lone surrogate.
   */
  encode(text: string): Int32Array<ArrayBuffer> {
    requireText("encode", "text", text);
    checkWellFormed("encode", "the text", text);
    return Int32Array.from(new TextEncoder().encode(text));
  }

  /**
   * Decodes tokens; any ids are accepted.
   *
   * @param tokens Token ids.
   * @param options How to show the end of a document.
   * @returns The text, with U+FFFD for truncated characters and for ids outside the vocabulary.
   */
  decode(tokens: ArrayLike<number>, options: DecodeOptions = {}): string {
    return decodeDocuments(this, tokens, options);
  }

  /**
   * Returns the bytes that tokens stand for.
   *
   * @param tokens Token ids.
   * @returns One byte per token, none for an end of document, U+FFFD for an id not in the
   * vocabulary.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { ByteTokenizer } from "@remoe/remoe/data";
   *
   * assert(new ByteTokenizer().bytesOf([110, 195, 256]).join() === "110,195");
   * ```
   */
  bytesOf(tokens: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.byteLength(tokens));
    let length = 0;
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      if (token === END_OF_DOCUMENT) continue;
      if (isByte(token)) {
        bytes[length++] = token;
      } else {
        bytes.set(REPLACEMENT, length);
        length += REPLACEMENT.length;
      }
    }
    return bytes;
  }

  /**
   * Counts the bytes of text that tokens stand for.
   *
   * @param tokens Token ids.
   * @returns For ids in the vocabulary, the number of tokens that are not an end of document.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { ByteTokenizer } from "@remoe/remoe/data";
   *
   * assert(new ByteTokenizer().byteLength([110, 195, 256]) === 2);
   * ```
   */
  byteLength(tokens: ArrayLike<number>): number {
    checkArrayLike(tokens, "count the bytes of tokens");
    let length = 0;
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      if (token !== END_OF_DOCUMENT) length += isByte(token) ? 1 : REPLACEMENT.length;
    }
    return length;
  }
}

function isByte(token: number): boolean {
  return Number.isInteger(token) && token >= 0 && token < BYTES;
}
