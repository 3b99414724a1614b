import { checkObject, endOfDocumentOf } from "../arguments.ts";
import type { DecodeOptions, Tokenizer } from "./tokenizer.ts";

/**
 * Decodes tokens one at a time, as a model generates them.
 *
 * A character may span several tokens; its text comes out with the last of them, so nothing printed
 * has to be taken back.
 *
 * @example
 * ```ts
 * import { ByteTokenizer, TextStream } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const stream = new TextStream(new ByteTokenizer());
 * assertEquals([0xe2, 0x82, 0xac, 0x21].map((token) => stream.push(token)), ["", "", "€", "!"]);
 * assertEquals(stream.end(), "");
 * ```
 */
export class TextStream {
  readonly #tokenizer: Tokenizer;
  readonly #endOfDocument: string;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /**
   * Begins a text.
   *
   * @param tokenizer The tokenizer of the tokens.
   * @param options How to show the end of a document.
   */
  constructor(tokenizer: Tokenizer, options: DecodeOptions = {}) {
    checkObject(tokenizer, ["bytesOf"], "decode tokens");
    this.#tokenizer = tokenizer;
    this.#endOfDocument = endOfDocumentOf(options);
  }

  /**
   * Takes the next token.
   *
   * @param token A token id.
   * @returns The text it completes: often its own, sometimes none.
   */
  push(token: number): string {
    if (token === this.#tokenizer.endOfDocument) return this.end() + this.#endOfDocument;
    return this.#decoder.decode(this.#tokenizer.bytesOf([token]), { stream: true });
  }

  /**
   * Ends the text; the stream can then be used for another.
   *
   * @returns U+FFFD if a character was truncated, else an empty string.
   */
  end(): string {
    return this.#decoder.decode();
  }
}
