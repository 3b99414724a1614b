/** A text that stands for itself: a file, a book, an article. */
export interface Document {
  /** Names the document in messages; the same on every machine. */
  readonly id: string;
  /** The text, never empty. */
  readonly text: string;
  /** What kind of text it is; {@linkcode NO_DOMAIN} by default. */
  readonly domain?: string;
}

/** The domain of documents that name none. */
export const NO_DOMAIN = "text";

/**
 * Where documents come from.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { ByteTokenizer, prepareCorpus, type TextSource } from "@remoe/remoe/data";
 *
 * const counting: TextSource = {
 *   name: "numbers",
 *   fingerprint: "numbers-1", // the same content under the same name
 *   async *documents() {
 *     for (let i = 0; i < 100; i++) yield { id: `${i}`, text: `Number ${i}.` };
 *   },
 * };
 * const corpus = await prepareCorpus(counting, new ByteTokenizer(), { cacheFolder: false });
 * assert(corpus.source === "numbers");
 * ```
 */
export interface TextSource {
  /** Names the source in messages and manifests. */
  readonly name: string;
  /**
   * A name that changes whenever the content does, such as a package and its exact version. With
   * it, {@linkcode prepareCorpus} finds the cached tokens without reading the text.
   */
  readonly fingerprint?: string;
  /**
   * Finds out, without reading the text, what changes when it does, such as the sizes and times of
   * its files. With it, a text that was read before is not read again to be known.
   *
   * @returns A text that changes when the content does.
   */
  identify?(): Promise<string>;

  /**
   * Reads the documents, anew with each call and always in the same order.
   *
   * @returns The documents, one after another, so that the whole text need not fit in memory.
   */
  documents(): AsyncIterable<Document>;
}
