import { requireText } from "../../arguments.ts";
import { checkObject, checkWellFormed } from "../arguments.ts";

/** A self-contained text: a file, a book, an article. */
export interface Document {
  /** Names the document in messages; the same on every machine. */
  readonly id: string;
  /** The text, never empty. */
  readonly text: string;
  /** What kind of text it is; {@linkcode NO_DOMAIN} by default. */
  readonly domain?: string;
}

/** The domain of documents that do not name one. */
export const NO_DOMAIN = "text";

/**
 * Refuses invalid documents: anyone may write a source.
 *
 * @param document What a source yielded.
 * @param what What was to be done, to follow "Cannot".
 * @throws {TypeError} If its id, text or domain is not a string.
 * @throws {DataError} If UTF-8 cannot encode its text or domain.
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

/** Something that a reading skipped. */
export interface PassedOver {
  /** An entire file, or the bytes after a file's compressed data. */
  readonly kind: "file" | "trailing-bytes";
  /** The file. */
  readonly path: string;
  /** Why it was skipped. */
  readonly reason: string;
}

/**
 * Receives what a reading of a source finds besides documents.
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
   * Reports something that was skipped because it holds no text.
   *
   * @param what The file, and why.
   */
  passedOver?(what: PassedOver): void;
  /**
   * Reports the end of the reading.
   *
   * @param identity What {@linkcode TextSource.identify} would have returned for the content read.
   */
  identified?(identity: string): void;
}

/**
 * A source of documents.
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
   * it, {@linkcode prepareCorpus} finds cached tokens without reading the text.
   */
  readonly fingerprint?: string;
  /**
   * Identifies the content at a lower cost than reading its documents, such as by hashing files as
   * they are stored. Sizes and times are not enough, since copies and archives preserve them. A
   * source that has this method also calls {@linkcode ReadingObserver.identified}.
   *
   * @returns A string that changes whenever the content does.
   */
  identify?(): Promise<string>;

  /**
   * Reads the documents, anew with each call and always in the same order.
   *
   * @param observer Receives what is found besides documents.
   * @returns The documents, one at a time: the text need not fit in memory.
   */
  documents(observer?: ReadingObserver): AsyncIterable<Document>;
}
