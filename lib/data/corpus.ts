import { join } from "node:path";

import { defaultCacheFolder } from "./cache_folder.ts";
import { contentDigest, sha256 } from "./content_hash.ts";
import type { Document, TextSource } from "./document.ts";
import { DataError } from "./errors.ts";
import { loadShards, saveShards, SHARD_FORMAT } from "./shards.ts";
import { DEFAULT_VALIDATION_FRACTION, partsOf, planSplit } from "./split.ts";
import type { DocumentSummary } from "./split.ts";
import { allocateTokens, type Corpus, joinTokens } from "./tokenized_text.ts";
import type { TokenArray, TokenizedText } from "./tokenized_text.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What {@linkcode prepareCorpus} tells about its work. */
export type CorpusEvent =
  /** The text is being tokenized: bytes done and bytes in all. */
  | { readonly kind: "tokenizing"; readonly bytes: number; readonly totalBytes: number }
  /** The tokens came from the cache. */
  | { readonly kind: "cache-loaded"; readonly folder: string }
  /** The tokens were written to the cache. */
  | { readonly kind: "cache-saved"; readonly folder: string }
  /** The cache is damaged and will be built anew. */
  | { readonly kind: "cache-damaged"; readonly folder: string; readonly reason: string }
  /** There is no cache to use, and the tokens are held in memory only. */
  | { readonly kind: "cache-unavailable"; readonly reason: string };

/** Settings of {@linkcode prepareCorpus}. */
export interface CorpusOptions {
  /** Share of the text to keep for validation, in (0, 0.5]; 1/20 by default. */
  readonly validationFraction?: number;
  /** Folder for cached tokens, by default {@linkcode defaultCacheFolder}; `false` for none. */
  readonly cacheFolder?: string | false;
  /** Is told of the work, for a progress line or a log. */
  readonly onEvent?: (event: CorpusEvent) => void;
}

/**
 * Reads a text, splits it by documents ({@linkcode splitDocuments}), tokenizes it, and keeps the tokens
 * on disk for the next time.
 *
 * Cached tokens are found by a hash of the text, the tokenizer and the split, so a change to any of
 * them is never overlooked; their checksums are verified, and damaged ones are built anew. Where
 * the cache cannot be used the tokens are held in memory only, and `onEvent` is told.
 *
 * @param source The text.
 * @param tokenizer The tokenizer.
 * @param options Settings.
 * @returns The tokens of both sides, each document followed by an end of document.
 * @throws {DataError} If the text cannot be read, is empty, or changes while it is read.
 * @throws {ConfigError} If the fraction is out of range.
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
  const { validationFraction = DEFAULT_VALIDATION_FRACTION, onEvent = () => {} } = options;
  const root = options.cacheFolder ?? defaultCacheFolder();
  // A source without a fingerprint must be read once to be known; one with it only when not cached.
  let summaries = source.fingerprint === undefined ? await summarize(source) : undefined;
  const identity = source.fingerprint ?? hashOf(summaries!);
  const key = cacheKey(identity, tokenizer, validationFraction);
  const folder = root === undefined || root === false ? undefined : join(root, "tokens", key);

  const cached = folder && await tryLoad(folder, key, onEvent);
  // The same text may have been cached under another name: the key is of its content.
  if (cached) return { ...cached, source: source.name };
  summaries ??= await summarize(source);
  const corpus = await tokenize(source, summaries, tokenizer, validationFraction, onEvent);
  if (folder !== undefined) {
    await trySave(folder, key, corpus, onEvent);
  } else if (root === undefined) {
    const reason = "no environment variable names a cache folder";
    onEvent({ kind: "cache-unavailable", reason });
  }
  return corpus;
}

async function summarize(source: TextSource): Promise<DocumentSummary[]> {
  const summaries: DocumentSummary[] = [];
  for await (const { text } of source.documents()) summaries.push(contentDigest(text));
  if (!summaries.some(({ bytes }) => bytes > 0)) {
    throw new DataError(`Cannot use ${source.name} as training text: it is empty`);
  }
  return summaries;
}

async function tokenize(
  source: TextSource,
  summaries: readonly DocumentSummary[],
  tokenizer: Tokenizer,
  fraction: number,
  onEvent: (event: CorpusEvent) => void,
): Promise<Corpus> {
  const plan = planSplit(summaries, fraction);
  const train = new TokenWriter(tokenizer);
  const validation = new TokenWriter(tokenizer);
  const totalBytes = summaries.reduce((sum, { bytes }) => sum + bytes, 0);
  let [index, bytes] = [0, 0];
  for await (const document of source.documents()) {
    const summary = summaries[index];
    // The plan is of the first reading: a text that differs in the second may not be under it.
    if (summary === undefined || !sameText(summary, document.text)) throw changed(source);
    const parts = partsOf(plan, index, document, fraction);
    parts.train.forEach((part) => train.append(part));
    parts.validation.forEach((part) => validation.append(part));
    index += 1;
    bytes += summary.bytes;
    onEvent({ kind: "tokenizing", bytes, totalBytes });
  }
  if (index !== summaries.length) throw changed(source);
  const { name, vocabularySize, endOfDocument } = tokenizer;
  return {
    source: source.name,
    contentHash: hashOf(summaries),
    tokenizer: { name, vocabularySize, endOfDocument },
    validationFraction: fraction,
    train: train.finish(),
    validation: validation.finish(),
  };
}

/** Collects documents as tokens, in the narrow form they are kept in. */
class TokenWriter {
  readonly #tokenizer: Tokenizer;
  readonly #parts: TokenArray[] = [];
  #bytes = 0;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  append(document: Document): void {
    if (document.text === "") return;
    const tokens = this.#tokenizer.encode(document.text);
    const part = allocateTokens(tokens.length + 1, this.#tokenizer.vocabularySize);
    part.set(tokens);
    part[tokens.length] = this.#tokenizer.endOfDocument;
    this.#parts.push(part);
    this.#bytes += this.#tokenizer.byteLength(tokens);
  }

  finish(): TokenizedText {
    return {
      tokens: joinTokens(this.#parts, this.#tokenizer.vocabularySize),
      documents: this.#parts.length,
      bytes: this.#bytes,
    };
  }
}

async function tryLoad(
  folder: string,
  key: string,
  onEvent: (event: CorpusEvent) => void,
): Promise<Corpus | undefined> {
  try {
    const corpus = await loadShards(folder, key);
    if (corpus !== undefined) onEvent({ kind: "cache-loaded", folder });
    return corpus;
  } catch (error) {
    // What cannot be read is built anew like what is damaged; saving tells if that fails too.
    onEvent({ kind: "cache-damaged", folder, reason: reasonOf(error) });
    return undefined;
  }
}

async function trySave(
  folder: string,
  key: string,
  corpus: Corpus,
  onEvent: (event: CorpusEvent) => void,
): Promise<void> {
  try {
    await saveShards(folder, key, corpus);
  } catch (error) {
    onEvent({ kind: "cache-unavailable", reason: reasonOf(error) });
    return;
  }
  onEvent({ kind: "cache-saved", folder });
}

function cacheKey(identity: string, tokenizer: Tokenizer, fraction: number): string {
  const { name, vocabularySize, endOfDocument } = tokenizer;
  const settings = [SHARD_FORMAT, identity, name, vocabularySize, endOfDocument, fraction];
  return sha256(JSON.stringify(settings)).slice(0, 32);
}

function hashOf(summaries: readonly DocumentSummary[]): string {
  return sha256(...summaries.map(({ digest }) => digest));
}

function sameText(summary: DocumentSummary, text: string): boolean {
  const { digest, bytes } = contentDigest(text);
  return bytes === summary.bytes && digest.every((byte, i) => byte === summary.digest[i]);
}

function changed(source: TextSource): DataError {
  return new DataError(`Cannot tokenize ${source.name}: the text changed while it was read`);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
