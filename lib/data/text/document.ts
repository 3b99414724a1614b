import { requireText } from "../../arguments.ts";
import { checkObject, checkWellFormed } from "../arguments.ts";

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
 * Refuses what is no document: sources may be written by anyone.
 *
 * @param document What a source gave.
 * @param what What was to be done, to follow "Cannot".
 * @throws {TypeError} If its text is none, or its domain.
 * @throws {DataError} If UTF-8 cannot hold one of them.
 */
export function checkDocument(document: Document, what: string): void {
  checkObject(document, [], what);
  requireText(what, "its id", document.id);
  requireText(what, "its text", document.text);
  const { text, domain = NO_DOMAIN } = document;
  requireText(what, "its domain", domain);
  checkWellFormed(what, "its text", text);
  checkWellFormed(what, "its domain", domain);
}

/** What a reading came across and left out. */
export interface PassedOver {
  /** A whole file, or what follows the compressed data of one. */
  readonly kind: "file" | "trailing-bytes";
  /** The file. */
  readonly path: string;
  /** Why it was passed over. */
  readonly reason: string;
}

/**
 * Is told what a reading of a source finds besides its documents.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type ReadingObserver, textFiles } from "@remoe/remoe/data";
 *
 * const folder = Deno.makeTempDirSync();
 * Deno.writeTextFileSync(`${folder}/a.txt`, "A text.");
 * Deno.writeTextFileSync(`${folder}/b.txt`, "");
 * const told: string[] = [];
 * const observer: ReadingObserver = {
 *   passedOver: ({ kind }) => told.push(kind),
 *   identified: () => told.push("end"),
 * };
 * const documents = await Array.fromAsync(textFiles([folder]).documents(observer));
 * Deno.removeSync(folder, { recursive: true });
 * assertEquals([documents.length, ...told], [1, "file", "end"]);
 * ```
 */
export interface ReadingObserver {
  /**
   * Something holds no text and was passed over.
   *
   * @param what The file, and why.
   */
  passedOver?(what: PassedOver): void;
  /**
   * The reading came to its end.
   *
   * @param identity What {@linkcode TextSource.identify} would have given for the content as it was
   * read.
   */
  identified?(identity: string): void;
}

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
   * Finds out what changes whenever the content does, at less cost than by giving the documents:
   * a hash of files as they lie on the disk. Sizes and times would not do, since copies and archives
   * restore them. A source that has it also tells {@linkcode ReadingObserver.identified}.
   *
   * @returns A text that changes when the content does.
   */
  identify?(): Promise<string>;

  /**
   * Reads the documents, anew with each call and always in the same order.
   *
   * @param observer Is told what is found besides documents.
   * @returns The documents, one after another, so that the whole text need not fit in memory.
   */
  documents(observer?: ReadingObserver): AsyncIterable<Document>;
}
