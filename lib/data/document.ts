/** A text that stands for itself: a file, a book, an article. */
export interface Document {
  /** Names the document in messages; the same on every machine. */
  readonly id: string;
  /** The text, never empty. */
  readonly text: string;
}

/** Where documents come from. */
export interface TextSource {
  /** Names the source in messages and manifests. */
  readonly name: string;
  /**
   * A name that changes whenever the content does, such as a package and its exact version. With
   * it, {@linkcode prepareCorpus} finds the cached tokens without reading the text.
   */
  readonly fingerprint?: string;

  /**
   * Reads the documents, anew with each call and always in the same order.
   *
   * @returns The documents, one after another, so that the whole text need not fit in memory.
   */
  documents(): AsyncIterable<Document>;
}
