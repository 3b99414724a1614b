/** What {@linkcode Tokenizer.decode} makes of tokens that are no text. */
export interface DecodeOptions {
  /** Text shown for an end-of-document token; by default it is left out. */
  readonly endOfDocument?: string;
}

/**
 * Turns text into token ids and back.
 *
 * Every tokenizer here works on the bytes of UTF-8: a token stands for some bytes, and a character
 * may be spread over several tokens. That is why the bytes are part of the interface: losses of
 * different tokenizers compare only per byte of text ({@linkcode bitsPerByte}), and text can be
 * shown while it is generated only by decoding bytes as they come ({@linkcode TextStream}).
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
  /** The name {@linkcode openTokenizer} knows it by. */
  readonly name: string;
  /** Number of token ids, the end of document included. */
  readonly vocabularySize: number;
  /** Id of the token that follows each document. {@linkcode Tokenizer.encode} never returns it. */
  readonly endOfDocument: number;

  /**
   * Encodes text.
   *
   * @param text The text.
   * @returns Its token ids, without an end of document.
   * @throws {DataError} If UTF-8 cannot hold it: half of a surrogate pair stands alone.
   */
  encode(text: string): Int32Array<ArrayBuffer>;

  /**
   * Decodes tokens; it takes any ids, as a model may emit anything.
   *
   * @param tokens Token ids.
   * @param options How to show the end of a document.
   * @returns The text, with U+FFFD for cut characters and for ids outside the vocabulary.
   */
  decode(tokens: ArrayLike<number>, options?: DecodeOptions): string;

  /**
   * Gives the bytes that tokens stand for.
   *
   * @param tokens Token ids.
   * @returns UTF-8, perhaps cut within a character; nothing for an end of document.
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
