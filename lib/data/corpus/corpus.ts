import { join } from "node:path";

import { shown } from "../arguments.ts";
import { defaultCacheFolder } from "./cache_folder.ts";
import { CacheLease } from "./cache_lease.ts";
import {
  contentDigest,
  type DocumentSummary,
  hashDocuments,
  sha256,
} from "../text/content_hash.ts";
import { CorpusBuilder, type ReadSource } from "./builder.ts";
import { CorpusIndex } from "./index.ts";
import {
  asGiven,
  checkArguments,
  checkFraction,
  type CorpusEvent,
  type CorpusOptions,
} from "./options.ts";
import { checkDocument, NO_DOMAIN, type PassedOver, type TextSource } from "../text/document.ts";
import { DataError } from "../errors.ts";
import { DEFAULT_VALIDATION_FRACTION, planSplit } from "./split.ts";
import { CHUNK_FORMAT, ChunkFolder } from "./token_chunks.ts";
import type { Corpus } from "./tokenized_text.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/**
 * Reads a text, splits it by documents ({@linkcode splitDocuments}) unless a separate validation
 * text is given, tokenizes it, and caches the tokens on disk.
 *
 * The cache key is a hash of the text, the tokenizer and the split, so a change to any of them is
 * never missed. Checksums are verified, and damaged tokens are rebuilt. If a source can identify
 * its content ({@linkcode TextSource.identify}), a cached text is not even read as documents again:
 * its files are hashed as stored. Tokens are written in chunks, and an interrupted preparation
 * resumes after the last complete one. They are read from disk on demand, so the text need not fit
 * in memory. If the cache cannot be used, tokens are held in memory and `onEvent` is told.
 *
 * @param source The text.
 * @param tokenizer The tokenizer.
 * @param options Settings.
 * @returns The tokens of both sides, each document followed by an end of document.
 * @throws {DataError} If the text cannot be read, is empty, or changes while it is read.
 * @throws {ConfigError} If the fraction is out of range.
 * @throws {TypeError} If an argument has the wrong type.
 * @throws {RangeError} If a count is out of range, or a token is outside the vocabulary.
 *
 * @example
 * ```ts
 * import { ByteTokenizer, prepareCorpus, textsInMemory } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const texts = Array.from({ length: 100 }, (_, i) => `Document ${i}.`);
 * const tokenizer = new ByteTokenizer();
 * const corpus = await prepareCorpus(textsInMemory(texts), tokenizer, { cacheFolder: false });
 * assertEquals(corpus.train.documents + corpus.validation.documents, 100);
 * assertEquals(corpus.train.tokens.length, corpus.train.bytes + corpus.train.documents);
 * ```
 */
export async function prepareCorpus(
  source: TextSource,
  tokenizer: Tokenizer,
  options: CorpusOptions = {},
): Promise<Corpus> {
  checkArguments(source, tokenizer, options);
  const { validationFraction = DEFAULT_VALIDATION_FRACTION, onEvent = () => {} } = options;
  const { validation, cacheFolder, workers } = options;
  checkFraction(validationFraction);
  return await prepare(asGiven(source), tokenizer, {
    validationFraction,
    onEvent,
    ...(validation === undefined ? {} : { validation: asGiven(validation) }),
    ...(cacheFolder === undefined ? {} : { cacheFolder }),
    ...(workers === undefined ? {} : { workers }),
  });
}

async function prepare(
  source: TextSource,
  tokenizer: Tokenizer,
  options: CorpusOptions & { readonly validationFraction: number },
): Promise<Corpus> {
  const { onEvent = () => {}, validation } = options;
  const { texts, root, tokens, fraction, index } = placeOf(source, tokenizer, options);
  const known = await index?.find();
  const loaded = known &&
    await tryLoad(join(root as string, "tokens", known.key), known.key, options);
  if (loaded) return told({ ...loaded, source: source.name }, known.passedOver, onEvent);

  // One after another: if one fails, no other keeps reading in the background.
  const readings: Reading[] = [];
  for (const text of texts) readings.push(await readOnce(text));
  const summaries = readings.map((reading) => reading.summaries);
  const passedOver = readings.flatMap((reading) => reading.passedOver);
  const identity = {
    contentHash: hashDocuments(summaries),
    tokenizer: tokens,
    validationFraction: fraction,
    sharedDocuments: countShared(summaries),
  };
  const key = hashKey([identity, summaries.map(({ length }) => length)]);
  const remember = async (): Promise<void> => {
    const identities = readings.map(({ identity }) => identity);
    if (!identities.every((each) => each !== undefined)) return;
    await index?.remember({ identities, key, contentHash: identity.contentHash, passedOver });
  };
  using _lease = root ? await CacheLease.open(root) : null;
  const folder = root ? join(root, "tokens", key) : undefined;
  // The same text may have been cached under another name: the key hashes its content.
  const cached = folder && key !== known?.key && await tryLoad(folder, key, options);
  if (cached) {
    await remember();
    return told({ ...cached, source: source.name }, passedOver, onEvent);
  }
  if (root === undefined) {
    const reason = "no environment variable names a cache folder";
    onEvent({ kind: "cache-unavailable", reason });
  }
  const builder = new CorpusBuilder({
    tokenizer,
    identity,
    folder: folder === undefined ? null : new ChunkFolder(folder, key),
    onEvent,
    ...(options.workers === undefined ? {} : { workers: options.workers }),
  });
  const corpus = await builder.build(planned(source, validation, summaries, fraction));
  if (builder.isSaved) await remember();
  return told({ ...corpus, source: source.name }, passedOver, onEvent);
}

/**
 * Hashes a text without tokenizing it. One that was prepared before is not even read as documents.
 *
 * @param source The text.
 * @param tokenizer The tokenizer it would be prepared with.
 * @param options The settings it would be prepared with.
 * @returns The `contentHash` that {@linkcode prepareCorpus} would give its corpus.
 * @throws {DataError} If the text cannot be read, or is empty.
 */
export async function corpusHash(
  source: TextSource,
  tokenizer: Tokenizer,
  options: Pick<CorpusOptions, "validation" | "validationFraction" | "cacheFolder"> = {},
): Promise<string> {
  const { validationFraction = DEFAULT_VALIDATION_FRACTION } = options;
  const { texts, index } = placeOf(source, tokenizer, { ...options, validationFraction });
  const known = await index?.find();
  if (known !== undefined) return known.contentHash;
  const summaries: (readonly DocumentSummary[])[] = [];
  for (const text of texts) summaries.push((await readOnce(text)).summaries);
  return hashDocuments(summaries);
}

/** The texts of a corpus, and where it is cached. */
interface CorpusPlace {
  readonly texts: readonly TextSource[];
  /** Root of the cache; false or undefined: none. */
  readonly root: string | false | undefined;
  readonly tokens: Corpus["tokenizer"];
  /** The fraction held back; null if a validation text is given. */
  readonly fraction: number | null;
  readonly index: CorpusIndex | undefined;
}

function placeOf(
  source: TextSource,
  tokenizer: Tokenizer,
  { validation, validationFraction, cacheFolder }:
    & Pick<CorpusOptions, "validation" | "cacheFolder">
    & { readonly validationFraction: number },
): CorpusPlace {
  const fraction = validation ? null : validationFraction;
  const root = cacheFolder ?? defaultCacheFolder();
  const texts = [source, ...(validation ? [validation] : [])];
  const tokens = tokenizerIdentity(tokenizer);
  const index = root ? new CorpusIndex(root, texts, [CHUNK_FORMAT, tokens, fraction]) : undefined;
  return { texts, root, tokens, fraction, index };
}

/** Reports what users should know about a corpus, whether cached or built. */
function told(
  corpus: Corpus,
  passedOver: readonly PassedOver[],
  onEvent: (event: CorpusEvent) => void,
): Corpus {
  if (passedOver.length > 0) onEvent({ kind: "passed-over", found: passedOver });
  if (corpus.sharedDocuments > 0) {
    const { documents } = corpus.validation;
    onEvent({ kind: "shared-documents", shared: corpus.sharedDocuments, documents });
  }
  return corpus;
}

function planned(
  source: TextSource,
  validation: TextSource | undefined,
  [first = [], second]: readonly (readonly DocumentSummary[])[],
  fraction: number | null,
): ReadSource[] {
  if (validation === undefined) {
    return [{ source, summaries: first, plan: planSplit(first, fraction!) }];
  }
  return [
    { source, summaries: first, plan: { validation: first.map(() => false) } },
    { source: validation, summaries: second!, plan: { validation: second!.map(() => true) } },
  ];
}

/** What the first reading found. */
interface Reading {
  readonly summaries: readonly DocumentSummary[];
  readonly passedOver: readonly PassedOver[];
  /** The identity of the content as it was read, if the source has one. */
  readonly identity: string | undefined;
}

async function readOnce(source: TextSource): Promise<Reading> {
  const summaries: DocumentSummary[] = [];
  const passedOver: PassedOver[] = [];
  let identity = source.fingerprint;
  const documents = source.documents({
    passedOver: (what) => passedOver.push(what),
    identified: (found) => identity ??= found,
  });
  if (typeof documents?.[Symbol.asyncIterator] !== "function") {
    throw new TypeError(
      `Cannot read ${source.name}: its documents() gave ${shown(documents)}, expected an async ` +
        `iterable`,
    );
  }
  for await (const document of documents) {
    checkDocument(document, `read document ${summaries.length} of ${source.name}`);
    const { text, domain = NO_DOMAIN } = document;
    summaries.push({ ...contentDigest(text), domain });
  }
  if (!summaries.some(({ bytes }) => bytes > 0)) {
    throw new DataError(`Cannot use ${source.name} as a text: it is empty`);
  }
  return { summaries, passedOver, identity };
}

/** Counts documents of a separate validation text that are also in the training text. */
function countShared([first = [], second]: readonly (readonly DocumentSummary[])[]): number {
  if (second === undefined) return 0;
  const digests = new Set(first.map(({ digest }) => digestText(digest)));
  return second.filter(({ digest }) => digests.has(digestText(digest))).length;
}

function digestText(digest: Uint8Array): string {
  return Array.from(digest.subarray(0, 16), (byte) => String.fromCharCode(byte)).join("");
}

async function tryLoad(
  folder: string,
  key: string,
  { onEvent = () => {} }: CorpusOptions,
): Promise<Omit<Corpus, "source"> | undefined> {
  try {
    const corpus = await CorpusBuilder.load(new ChunkFolder(folder, key));
    if (corpus !== undefined) onEvent({ kind: "cache-loaded", folder });
    return corpus;
  } catch (error) {
    // An unreadable cache is rebuilt like a damaged one; if saving fails too, that is reported.
    onEvent({ kind: "cache-damaged", folder, reason: (error as Error).message });
    return undefined;
  }
}

function tokenizerIdentity(tokenizer: Tokenizer): Corpus["tokenizer"] {
  const { name, vocabularySize, endOfDocument } = tokenizer;
  return { name, vocabularySize, endOfDocument };
}

function hashKey(facts: unknown): string {
  return sha256(JSON.stringify([CHUNK_FORMAT, facts])).slice(0, 32);
}
