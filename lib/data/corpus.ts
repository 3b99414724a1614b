import { join } from "node:path";

import { ConfigError } from "../errors.ts";
import { writeFileAtomically } from "./atomic_file.ts";
import { defaultCacheFolder } from "./cache_folder.ts";
import { contentDigest, sha256 } from "./content_hash.ts";
import { CorpusBuilder } from "./corpus_builder.ts";
import { NO_DOMAIN, type TextSource } from "./document.ts";
import { DataError } from "./errors.ts";
import { DEFAULT_VALIDATION_FRACTION, planSplit, type SplitPlan } from "./split.ts";
import type { DocumentSummary } from "./split.ts";
import { CHUNK_FORMAT, ChunkFolder } from "./token_chunks.ts";
import type { Corpus } from "./tokenized_text.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What {@linkcode prepareCorpus} tells about its work. */
export type CorpusEvent =
  /** The text is being tokenized: bytes done and bytes in all. */
  | { readonly kind: "tokenizing"; readonly bytes: number; readonly totalBytes: number }
  /** A preparation that was interrupted goes on after so many bytes. */
  | { readonly kind: "continued"; readonly bytes: number; readonly totalBytes: number }
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
  /** The text for validation, where it is kept apart; then all of the source is trained on. */
  readonly validation?: TextSource;
  /** Folder for cached tokens, by default {@linkcode defaultCacheFolder}; `false` for none. */
  readonly cacheFolder?: string | false;
  /** Threads that tokenize; by default one a core where that is of use. */
  readonly workers?: number;
  /** Is told of the work, for a progress line or a log. */
  readonly onEvent?: (event: CorpusEvent) => void;
}

/** A source, and what a first reading found. */
export interface ReadSource {
  /** The source. */
  readonly source: TextSource;
  /** Its documents, in order. */
  readonly summaries: readonly DocumentSummary[];
  /** Which of them are for validation. */
  readonly plan: SplitPlan;
}

/**
 * Reads a text, splits it by documents ({@linkcode splitDocuments}) unless the validation text is
 * given apart, tokenizes it, and keeps the tokens on disk for the next time.
 *
 * Cached tokens are found by a hash of the text, the tokenizer and the split, so a change to any of
 * them is never overlooked; their checksums are verified, and damaged ones are built anew. A source
 * that can say what identifies it ({@linkcode TextSource.identify}) is not even read again. Tokens
 * are written in chunks, and an interrupted preparation goes on after the last; from the disk they
 * are read where they are needed, so that the text need not fit in memory. Where the cache cannot be
 * used they are held in memory, and `onEvent` is told.
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
  const { onEvent = () => {}, validation } = options;
  const fraction = validation ? null : options.validationFraction ?? DEFAULT_VALIDATION_FRACTION;
  checkFraction(fraction);
  const root = options.cacheFolder ?? defaultCacheFolder();
  const index = root ? await indexFile(root, [source, validation], tokenizer, fraction) : undefined;
  const known = index && await knownKey(index);
  const loaded = known && await tryLoad(join(root as string, "tokens", known), known, options);
  if (loaded) return { ...loaded, source: source.name };

  const sources = await Promise.all(
    [source, ...(validation ? [validation] : [])].map((each) => summarize(each)),
  );
  const identity = {
    contentHash: hashOf(sources.flat()),
    tokenizer: tokenizerIdentity(tokenizer),
    validationFraction: fraction,
  };
  const key = hashKey([identity, sources.map((summaries) => summaries.length)]);
  const folder = root ? join(root, "tokens", key) : undefined;
  // The same text may have been cached under another name: the key is of its content.
  const cached = folder && key !== known && await tryLoad(folder, key, options);
  if (cached) {
    await remember(index, key);
    return { ...cached, source: source.name };
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
  const corpus = await builder.build(planned(source, validation, sources, fraction));
  if (builder.isSaved) await remember(index, key);
  return { ...corpus, source: source.name };
}

function planned(
  source: TextSource,
  validation: TextSource | undefined,
  [first = [], second]: readonly DocumentSummary[][],
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

function checkFraction(fraction: number | null): void {
  if (fraction === null || fraction > 0 && fraction <= 0.5) return;
  throw new ConfigError(
    `Cannot keep a fraction of ${fraction} for validation: it must be above 0 and at most 0.5`,
  );
}

async function summarize(source: TextSource): Promise<DocumentSummary[]> {
  const summaries: DocumentSummary[] = [];
  for await (const { text, domain = NO_DOMAIN } of source.documents()) {
    summaries.push({ ...contentDigest(text), domain });
  }
  if (!summaries.some(({ bytes }) => bytes > 0)) {
    throw new DataError(`Cannot use ${source.name} as a text: it is empty`);
  }
  return summaries;
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
    // What cannot be read is built anew like what is damaged; saving tells if that fails too.
    onEvent({ kind: "cache-damaged", folder, reason: (error as Error).message });
    return undefined;
  }
}

/** The file that says which key a text has which looks unchanged from outside. */
async function indexFile(
  root: string,
  sources: readonly (TextSource | undefined)[],
  tokenizer: Tokenizer,
  fraction: number | null,
): Promise<string | undefined> {
  const outside: string[] = [];
  for (const source of sources) {
    if (source === undefined) continue;
    const identity = source.fingerprint ?? await source.identify?.();
    if (identity === undefined) return undefined;
    outside.push(identity);
  }
  return join(root, "index", hashKey([outside, tokenizerIdentity(tokenizer), fraction]));
}

async function knownKey(index: string): Promise<string | undefined> {
  const text = await Deno.readTextFile(index).catch(() => "");
  return /^[0-9a-f]{32}$/.test(text) ? text : undefined;
}

/** Only saves time: where it cannot be written, the text is read again to be known. */
async function remember(index: string | undefined, key: string): Promise<void> {
  if (index === undefined) return;
  try {
    await Deno.mkdir(join(index, ".."), { recursive: true });
    await writeFileAtomically(index, new TextEncoder().encode(key));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
}

function tokenizerIdentity(tokenizer: Tokenizer): Corpus["tokenizer"] {
  const { name, vocabularySize, endOfDocument } = tokenizer;
  return { name, vocabularySize, endOfDocument };
}

function hashKey(facts: unknown): string {
  return sha256(JSON.stringify([CHUNK_FORMAT, facts])).slice(0, 32);
}

function hashOf(summaries: readonly DocumentSummary[]): string {
  return sha256(...summaries.flatMap(({ digest, domain }) => [digest, `${domain ?? ""}\0`]));
}
