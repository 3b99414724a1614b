/**
 * The tokens of a corpus on disk: chunks of some mebibytes of text, each completed before the next
 * is begun, and finally a manifest. An interrupted preparation resumes after the last chunk; tokens
 * are read from the files on demand.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { join } from "node:path";

import { writeAtomically } from "../../files.ts";
import { sha256 } from "../text/content_hash.ts";
import { DataError } from "../errors.ts";
import type { TokenArray } from "./token_array.ts";
import type { Corpus } from "./tokenized_text.ts";

/** Raised whenever a key would stand for other bytes: another split, layout or manifest. */
export const CHUNK_FORMAT = 3;

const MANIFEST = "manifest.json";

/** The tokens of one side and domain in a chunk; groups are contiguous. */
export interface ChunkGroup {
  /** Which side of the corpus. */
  readonly side: "train" | "validation";
  /** Which domain. */
  readonly domain: string;
  /** Number of documents. */
  readonly documents: number;
  /** Bytes of text. */
  readonly bytes: number;
  /** Number of tokens. */
  readonly tokens: number;
}

/** A chunk as described in its own file and in the manifest. */
export interface Chunk {
  /** Name of the file in the corpus's folder. */
  readonly file: string;
  /** Documents of the source that went into it. */
  readonly documents: number;
  /** Size of the file. */
  readonly bytes: number;
  /** SHA-256 of the file. */
  readonly sha256: string;
  /** What it holds. */
  readonly groups: readonly ChunkGroup[];
}

/** What identifies a corpus, besides its chunks. */
export type CorpusIdentity = Omit<Corpus, "train" | "validation" | "source">;

/** The contents of the manifest, without its checksum. */
interface Contents extends CorpusIdentity {
  readonly format: "remoe-tokens";
  readonly version: number;
  readonly key: string;
  readonly chunks: readonly Chunk[];
}

/** JSON with a checksum of its own: nothing else guards the counts and names in it. */
type Sealed<T> = T & { readonly seal: string };

/** A folder of chunks, complete or being written. */
export class ChunkFolder {
  /** The folder. */
  readonly path: string;
  readonly #key: string;

  /**
   * Refers to a folder; nothing is read or written yet.
   *
   * @param path The folder.
   * @param key The hash of everything the tokens depend on.
   */
  constructor(path: string, key: string) {
    this.path = path;
    this.#key = key;
  }

  /**
   * Loads the description of a complete corpus and verifies its chunks.
   *
   * @returns Its identity and chunks; undefined if there is none.
   * @throws {DataError} If it is damaged: a size or a checksum differs.
   */
  async load(): Promise<(CorpusIdentity & { chunks: readonly Chunk[] }) | undefined> {
    const contents = await this.#readSealed<Contents>(MANIFEST);
    if (contents === undefined) return undefined;
    if (contents.key !== this.#key) {
      throw new DataError(`Cannot use the manifest of ${this.path}: it is of another text`);
    }
    for (const chunk of contents.chunks) await this.#verify(chunk);
    const { contentHash, tokenizer, validationFraction, sharedDocuments, chunks } = contents;
    return { contentHash, tokenizer, validationFraction, sharedDocuments, chunks };
  }

  /**
   * Finds a chunk left by an interrupted preparation.
   *
   * @param index Its number.
   * @param documents The number of documents in it.
   * @returns The chunk; undefined if it is missing or damaged.
   */
  async find(index: number, documents: number): Promise<Chunk | undefined> {
    try {
      const chunk = await this.#readSealed<Chunk>(`${chunkName(index)}.json`);
      if (chunk === undefined || chunk.documents !== documents) return undefined;
      await this.#verify(chunk);
      return chunk;
    } catch (error) {
      if (error instanceof DataError || error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /**
   * Writes a chunk. Its description comes last, so a chunk that has one is complete.
   *
   * Processes that write the same key at once write the same bytes and need no lock.
   *
   * @param index Its number.
   * @param documents The number of documents in it.
   * @param groups What it holds.
   * @param tokens The groups' tokens, concatenated.
   * @returns The chunk.
   */
  async write(
    index: number,
    documents: number,
    groups: readonly ChunkGroup[],
    tokens: TokenArray,
  ): Promise<Chunk> {
    await Deno.mkdir(this.path, { recursive: true });
    const file = `${chunkName(index)}.bin`;
    // Deno runs only on little-endian processors, so memory has the format of the file.
    const content = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
    const chunk = { file, documents, bytes: content.length, sha256: sha256(content), groups };
    writeAtomically(join(this.path, file), content);
    this.#writeSealed(`${chunkName(index)}.json`, chunk);
    return chunk;
  }

  /**
   * Completes the corpus by writing the manifest.
   *
   * @param identity What identifies the corpus.
   * @param chunks All of its chunks, in order.
   */
  async finish(identity: CorpusIdentity, chunks: readonly Chunk[]): Promise<void> {
    this.#writeSealed(MANIFEST, {
      format: "remoe-tokens",
      version: CHUNK_FORMAT,
      key: this.#key,
      ...identity,
      chunks,
    });
    // The manifest holds the same descriptions in a single file.
    for (const { file } of chunks) {
      await Deno.remove(join(this.path, file.replace(/bin$/, "json"))).catch(() => {});
    }
  }

  async #verify({ file, bytes, sha256: expected }: Chunk): Promise<void> {
    const path = join(this.path, file);
    const { size } = await stat(path);
    if (size !== bytes) {
      throw new DataError(
        `Cannot use the chunk ${path}: it has ${size} bytes instead of ${bytes}`,
      );
    }
    const hash = createHash("sha256");
    for await (const piece of (await Deno.open(path)).readable) hash.update(piece);
    if (hash.digest("hex") !== expected) {
      throw new DataError(`Cannot use the chunk ${path}: its checksum differs`);
    }
  }

  async #readSealed<T extends object>(name: string): Promise<T | undefined> {
    const path = join(this.path, name);
    let text: string;
    try {
      text = await Deno.readTextFile(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
    try {
      const { seal, ...contents }: Sealed<T> = JSON.parse(text);
      if (sha256(JSON.stringify(contents)) === seal) return contents as unknown as T;
    } catch (cause) {
      throw new DataError(`Cannot use ${path}: it is damaged`, { cause });
    }
    throw new DataError(`Cannot use ${path}: it is damaged`);
  }

  #writeSealed(name: string, contents: object): void {
    const sealed = { ...contents, seal: sha256(JSON.stringify(contents)) };
    writeAtomically(join(this.path, name), `${JSON.stringify(sealed, null, 2)}\n`);
  }
}

function chunkName(index: number): string {
  return `chunk-${String(index).padStart(5, "0")}`;
}

async function stat(path: string): Promise<Deno.FileInfo> {
  try {
    return await Deno.stat(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new DataError(`Cannot use the chunk ${path}: it is missing`, { cause });
  }
}
