/**
 * Builds a corpus from documents, chunk by chunk.
 *
 * @module
 */

import { join } from "node:path";

import type { CorpusEvent } from "./options.ts";
import { contentDigest, type DocumentSummary } from "../text/content_hash.ts";
import { type Document, NO_DOMAIN, type TextSource } from "../text/document.ts";
import type { EncodedTexts } from "./encode_texts.ts";
import { DataError } from "../errors.ts";
import { partsOf, type SplitPlan } from "./split.ts";
import type { Chunk, ChunkFolder, ChunkGroup, CorpusIdentity } from "./token_chunks.ts";
import { fileStream, joinStreams, memoryStream, type TokenStream } from "./token_stream.ts";
import { allocateTokens, joinTokens, type TokenArray } from "./token_array.ts";
import type { Corpus, CorpusSide } from "./tokenized_text.ts";
import { TokenizerPool } from "./tokenizer_pool.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** Text per chunk: the most an interruption loses, and what is held in memory at once. */
const CHUNK_BYTES = 8 << 20;
/** Text per request to a worker: small next to a chunk, so that workers finish together. */
const REQUEST_CHARACTERS = 1 << 18;

/** A source, and what the first reading found. */
export interface ReadSource {
  /** The source. */
  readonly source: TextSource;
  /** Its documents, in order. */
  readonly summaries: readonly DocumentSummary[];
  /** Which of them are held back for validation. */
  readonly plan: SplitPlan;
}

/** Options of {@linkcode CorpusBuilder}. */
export interface CorpusBuilderOptions {
  /** The tokenizer. */
  readonly tokenizer: Tokenizer;
  /** What identifies the corpus. */
  readonly identity: CorpusIdentity;
  /** Where chunks are stored; null for memory. */
  readonly folder: ChunkFolder | null;
  /** Threads that tokenize; by default one per core where that helps. */
  readonly workers?: number;
  /** Receives progress events. */
  readonly onEvent: (event: CorpusEvent) => void;
}

/** Tokens of one side and domain, and the stream that holds them. */
interface Piece extends ChunkGroup {
  readonly stream: TokenStream;
}

/** A document, or part of one, assigned to a side. */
interface Placed {
  readonly side: ChunkGroup["side"];
  readonly domain: string;
  readonly text: string;
}

/** Builds a corpus, or loads one built earlier. */
export class CorpusBuilder {
  readonly #options: CorpusBuilderOptions;
  readonly #pieces: Piece[] = [];
  readonly #chunks: Chunk[] = [];
  #index = 0;
  #bytes = 0;
  #totalBytes = 0;
  #saves: boolean;
  #isSaved = false;

  /**
   * Begins a corpus.
   *
   * @param options Tokenizer, folder and callbacks.
   */
  constructor(options: CorpusBuilderOptions) {
    this.#options = options;
    this.#saves = options.folder !== null;
  }

  /** Whether the corpus was completely written to its folder. */
  get isSaved(): boolean {
    return this.#isSaved;
  }

  /**
   * Loads a corpus.
   *
   * @param folder Where it was built.
   * @returns The corpus; undefined if the folder holds no complete one.
   * @throws {DataError} If it is damaged.
   */
  static async load(folder: ChunkFolder): Promise<Omit<Corpus, "source"> | undefined> {
    const loaded = await folder.load();
    if (loaded === undefined) return undefined;
    const { chunks, ...identity } = loaded;
    const { vocabularySize } = identity.tokenizer;
    const pieces = chunks.flatMap((chunk) => piecesOf(folder, chunk, vocabularySize));
    return {
      ...identity,
      train: sideOf(pieces, "train"),
      validation: sideOf(pieces, "validation"),
    };
  }

  /**
   * Tokenizes what the first reading found.
   *
   * @param sources The texts and their plans.
   * @returns The corpus.
   * @throws {DataError} If a text has changed since that reading.
   */
  async build(sources: readonly ReadSource[]): Promise<Omit<Corpus, "source">> {
    const { identity, tokenizer, workers, folder } = this.#options;
    this.#totalBytes = sources.reduce(
      (sum, { summaries }) => summaries.reduce((total, { bytes }) => total + bytes, sum),
      0,
    );
    using pool = new TokenizerPool(tokenizer, workers);
    for (const source of sources) await this.#addSource(source, pool);
    if (folder !== null && this.#saves) await this.#finish(folder);
    return {
      ...identity,
      train: sideOf(this.#pieces, "train"),
      validation: sideOf(this.#pieces, "validation"),
    };
  }

  async #addSource({ source, summaries, plan }: ReadSource, pool: TokenizerPool): Promise<void> {
    const fraction = this.#options.identity.validationFraction ?? 0;
    const changed = (): DataError =>
      new DataError(`Cannot tokenize ${source.name}: the text changed while it was read`);
    let [index, start, end, done] = [0, 0, 0, false];
    let placed: Placed[] = [];
    for await (const document of source.documents()) {
      // Chunk boundaries follow from the first reading, so a resumed preparation cuts the text as
      // the interrupted one did.
      if (index === end) {
        [start, end] = [index, chunkEnd(summaries, index)];
        done = await this.#reuse(summaries.slice(start, end));
      }
      const summary = summaries[index];
      // The plan holds only for the text of the first reading.
      if (summary === undefined || !sameText(summary, document)) throw changed();
      if (!done) placed.push(...place(partsOf(plan, index, document, fraction), document));
      index++;
      if (index < end) continue;
      if (!done) await this.#addChunk(placed, end - start, pool);
      placed = [];
    }
    if (index !== summaries.length) throw changed();
  }

  /** Reuses a chunk left by an interrupted preparation; false if there is none. */
  async #reuse(summaries: readonly DocumentSummary[]): Promise<boolean> {
    const { folder, tokenizer, onEvent } = this.#options;
    const chunk = this.#saves
      ? await folder!.find(this.#index, summaries.length).catch(() => undefined)
      : undefined;
    if (chunk === undefined) return false;
    this.#index++;
    this.#chunks.push(chunk);
    this.#addPieces(piecesOf(folder!, chunk, tokenizer.vocabularySize));
    this.#bytes += summaries.reduce((sum, { bytes }) => sum + bytes, 0);
    onEvent({ kind: "continued", bytes: this.#bytes, totalBytes: this.#totalBytes });
    return true;
  }

  /** One by one: a chunk may have more pieces than a call to push() can take as arguments. */
  #addPieces(pieces: readonly Piece[]): void {
    for (const piece of pieces) this.#pieces.push(piece);
  }

  async #addChunk(
    placed: readonly Placed[],
    documents: number,
    pool: TokenizerPool,
  ): Promise<void> {
    const { folder, tokenizer } = this.#options;
    const { groups, tokens } = await this.#encode(placed, pool);
    const index = this.#index++;
    if (this.#saves) {
      try {
        const chunk = await folder!.write(index, documents, groups, tokens);
        this.#chunks.push(chunk);
        this.#addPieces(piecesOf(folder!, chunk, tokenizer.vocabularySize));
        return;
      } catch (error) {
        this.#giveUpSaving(error);
      }
    }
    let offset = 0;
    for (const group of groups) {
      const part = tokens.subarray(offset, offset + group.tokens);
      this.#pieces.push({ ...group, stream: memoryStream(part) });
      offset += group.tokens;
    }
  }

  /** Encodes a chunk's texts, grouped by side and domain in the order of their first documents. */
  async #encode(
    placed: readonly Placed[],
    pool: TokenizerPool,
  ): Promise<{ groups: ChunkGroup[]; tokens: TokenArray }> {
    const { vocabularySize } = this.#options.tokenizer;
    const bySideAndDomain = Map.groupBy(placed, ({ side, domain }) => `${side} ${domain}`);
    const encoding = [...bySideAndDomain.values()].map(async (members) => {
      const encoded = await Promise.all(
        requests(members).map(async (texts) => {
          const result = await pool.encode(texts);
          this.#count(result);
          return result;
        }),
      );
      const tokens = joinTokens(encoded.map((each) => each.tokens), vocabularySize);
      const bytes = encoded.flatMap((each) => each.bytes).reduce((sum, each) => sum + each, 0);
      const { side, domain } = members[0]!;
      const group = { side, domain, documents: members.length, bytes, tokens: tokens.length };
      return { group, tokens };
    });
    const done = await Promise.all(encoding);
    return {
      groups: done.map(({ group }) => group),
      tokens: joinTokens(done.map(({ tokens }) => tokens), vocabularySize),
    };
  }

  #count({ bytes }: EncodedTexts): void {
    this.#bytes += bytes.reduce((sum, each) => sum + each, 0);
    this.#options.onEvent({
      kind: "tokenizing",
      bytes: this.#bytes,
      totalBytes: this.#totalBytes,
    });
  }

  #giveUpSaving(error: unknown): void {
    this.#saves = false;
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.onEvent({ kind: "cache-unavailable", reason });
  }

  async #finish(folder: ChunkFolder): Promise<void> {
    try {
      await folder.finish(this.#options.identity, this.#chunks);
    } catch (error) {
      this.#giveUpSaving(error);
      return;
    }
    this.#isSaved = true;
    this.#options.onEvent({ kind: "cache-saved", folder: folder.path });
  }
}

/** The end of the chunk that begins with document `start`. */
function chunkEnd(summaries: readonly DocumentSummary[], start: number): number {
  let [end, bytes] = [start, 0];
  while (end < summaries.length && bytes < CHUNK_BYTES) bytes += summaries[end++]!.bytes;
  return end;
}

function place(parts: ReturnType<typeof partsOf>, { domain = NO_DOMAIN }: Document): Placed[] {
  return (["train", "validation"] as const).flatMap((side) =>
    parts[side].filter(({ text }) => text !== "").map(({ text }) => ({ side, domain, text }))
  );
}

function requests(members: readonly Placed[]): string[][] {
  const all: string[][] = [];
  let [texts, characters] = [[] as string[], 0];
  for (const { text } of members) {
    texts.push(text);
    characters += text.length;
    if (characters < REQUEST_CHARACTERS) continue;
    all.push(texts);
    [texts, characters] = [[], 0];
  }
  return texts.length > 0 ? [...all, texts] : all;
}

function piecesOf(folder: ChunkFolder, chunk: Chunk, vocabularySize: number): Piece[] {
  const path = join(folder.path, chunk.file);
  const width = allocateTokens(0, vocabularySize).BYTES_PER_ELEMENT;
  let offset = 0;
  return chunk.groups.map((group) => {
    const stream = fileStream({ path, offset, tokens: group.tokens }, vocabularySize);
    offset += group.tokens * width;
    return { ...group, stream };
  });
}

function sideOf(pieces: readonly Piece[], side: ChunkGroup["side"]): CorpusSide {
  const ours = pieces.filter((piece) => piece.side === side);
  const domains = new Map(
    [...Map.groupBy(ours, ({ domain }) => domain)].map(([domain, members]) => [domain, {
      tokens: joinStreams(members.map(({ stream }) => stream)),
      documents: members.reduce((sum, { documents }) => sum + documents, 0),
      bytes: members.reduce((sum, { bytes }) => sum + bytes, 0),
    }]),
  );
  const all = [...domains.values()];
  return {
    tokens: joinStreams(all.map(({ tokens }) => tokens)),
    documents: all.reduce((sum, { documents }) => sum + documents, 0),
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
    domains,
  };
}

function sameText(summary: DocumentSummary, { text, domain = NO_DOMAIN }: Document): boolean {
  const { digest, bytes } = contentDigest(text);
  return bytes === summary.bytes && domain === summary.domain &&
    digest.every((byte, i) => byte === summary.digest[i]);
}
