/** Options of {@linkcode Tokenizer.decode}. */
export interface DecodeOptions {
  /** Text that stands for an end-of-document token; empty by default. */
  readonly endOfDocument?: string;
}

/**
 * Converts text to token ids and back.
 *
 * Every tokenizer here works on the bytes of UTF-8: a token stands for some bytes, and a character
 * may span several tokens. Bytes are therefore part of the interface: losses of different
 * tokenizers are comparable only per byte of text ({@linkcode bitsPerByte}), and generated text can
 * be shown on the fly only by decoding bytes as they arrive ({@linkcode TextStream}).
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { openTokenizer, type Tokenizer } from "@remoe/remoe/data";
 *
 * const tokenizer: Tokenizer = await openTokenizer("byte");
 * const tokens = tokenizer.encode("né");
 * assert(tokenizer.decode(tokens) === "né");
 * assert(tokenizer.bytesOf(tokens).length === tokenizer.byteLength(tokens));
 * ```
 */
export interface Tokenizer {
  /** Its name, as {@linkcode openTokenizer} takes it; that of a file names its contents. */
  readonly name: string;
  /** Number of token ids, including the end of document. */
  readonly vocabularySize: number;
  /** Id of the token after each document. {@linkcode Tokenizer.encode} never returns it. */
  readonly endOfDocument: number;
  /** Id of the token before each document. Default `endOfDocument`, of the document before. */
  readonly beginOfDocument?: number;

  /**
   * Encodes text.
   *
   * @param text The text.
   * @returns Its token ids, without an end of document.
   * @throws {DataError} If UTF-8 cannot encode it, because it holds a lone surrogate.
   */
  encode(text: string): Int32Array<ArrayBuffer>;

  /**
   * Decodes tokens; any ids are accepted, since a model may emit anything.
   *
   * @param tokens Token ids.
   * @param options How to show the end of a document.
   * @returns The text, with U+FFFD for truncated characters and for ids outside the vocabulary.
   */
  decode(tokens: ArrayLike<number>, options?: DecodeOptions): string;

  /**
   * Returns the bytes that tokens stand for.
   *
   * @param tokens Token ids.
   * @returns UTF-8, possibly truncated within a character; empty for an end of document.
   */
  bytesOf(tokens: ArrayLike<number>): Uint8Array<ArrayBuffer>;

  /**
   * Counts the bytes of text that tokens stand for.
   *
   * @param tokens Token ids.
   * @returns Bytes of UTF-8; an end of document counts none.
   */
  byteLength(tokens: ArrayLike<number>): number;
}
