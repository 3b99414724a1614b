import { join } from "node:path";

import { writeFileAtomically } from "./atomic_file.ts";
import { sha256 } from "./content_hash.ts";
import { DataError } from "./errors.ts";
import { allocateTokens, type Corpus, joinTokens } from "./tokenized_text.ts";
import type { TokenArray, TokenizedText } from "./tokenized_text.ts";

/** Raised whenever the same key would mean other bytes: another split, layout or manifest. */
export const SHARD_FORMAT = 1;

const MANIFEST = "manifest.json";
/** 64 MiB of two-byte tokens: a damaged shard is found, and a whole one hashed, in well under a
 * second, and no single write is large. */
const SHARD_TOKENS = 2 ** 25;

interface Shard {
  readonly file: string;
  readonly tokens: number;
  readonly sha256: string;
}

interface SideManifest {
  readonly documents: number;
  readonly bytes: number;
  readonly tokens: number;
  readonly shards: readonly Shard[];
}

/** All that the manifest says, but for its own checksum. */
type Contents = Omit<Corpus, "train" | "validation"> & {
  readonly format: "remoe-tokens";
  readonly version: number;
  readonly key: string;
  readonly train: SideManifest;
  readonly validation: SideManifest;
};

/** The counts and names in a manifest have no other check than this. */
type Manifest = Contents & { readonly sha256: string };

/**
 * Saves a corpus as shards of little-endian tokens (uint16 for vocabularies up to 65536, else
 * uint32) and a manifest, which comes last: a folder with a manifest was written to its end.
 *
 * Programs that save the same key at once write the same bytes, so that they need no lock.
 *
 * @param folder The folder, made if there is none.
 * @param key The hash of everything the tokens depend on.
 * @param corpus The corpus.
 * @param shardTokens Most tokens in a shard.
 */
export async function saveShards(
  folder: string,
  key: string,
  corpus: Corpus,
  shardTokens: number = SHARD_TOKENS,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const train = await saveSide(folder, "train", corpus.train, shardTokens);
  const validation = await saveSide(folder, "validation", corpus.validation, shardTokens);
  const contents: Contents = {
    format: "remoe-tokens",
    version: SHARD_FORMAT,
    key,
    source: corpus.source,
    contentHash: corpus.contentHash,
    tokenizer: corpus.tokenizer,
    validationFraction: corpus.validationFraction,
    train,
    validation,
  };
  const manifest: Manifest = { ...contents, sha256: sha256(JSON.stringify(contents)) };
  const json = new TextEncoder().encode(JSON.stringify(manifest, null, 2) + "\n");
  await writeFileAtomically(join(folder, MANIFEST), json);
}

/**
 * Loads a corpus which {@linkcode saveShards} saved.
 *
 * @param folder The folder.
 * @param key The key it must be of.
 * @returns The corpus, or `undefined` if none was saved there to its end.
 * @throws {DataError} If what is there is damaged: a size or a checksum differs.
 */
export async function loadShards(folder: string, key: string): Promise<Corpus | undefined> {
  const manifest = await readManifest(join(folder, MANIFEST), key);
  if (manifest === undefined) return undefined;
  const { source, contentHash, tokenizer, validationFraction } = manifest;
  return {
    source,
    contentHash,
    tokenizer,
    validationFraction,
    train: await loadSide(folder, manifest.train, tokenizer.vocabularySize),
    validation: await loadSide(folder, manifest.validation, tokenizer.vocabularySize),
  };
}

async function saveSide(
  folder: string,
  side: string,
  text: TokenizedText,
  shardTokens: number,
): Promise<SideManifest> {
  const { tokens, documents, bytes } = text;
  const shards: Shard[] = [];
  for (let start = 0; start < tokens.length; start += shardTokens) {
    const part = tokens.subarray(start, start + shardTokens);
    const file = `${side}-${String(shards.length).padStart(5, "0")}.bin`;
    // Deno runs on little-endian processors only, so memory is the file format.
    const content = new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
    await writeFileAtomically(join(folder, file), content);
    shards.push({ file, tokens: part.length, sha256: sha256(content) });
  }
  return { documents, bytes, tokens: tokens.length, shards };
}

async function loadSide(
  folder: string,
  side: SideManifest,
  vocabularySize: number,
): Promise<TokenizedText> {
  const parts: TokenArray[] = [];
  for (const shard of side.shards) {
    parts.push(await loadShard(join(folder, shard.file), shard, vocabularySize));
  }
  const tokens = parts.length === 1 ? parts[0]! : joinTokens(parts, vocabularySize);
  return { tokens, documents: side.documents, bytes: side.bytes };
}

async function loadShard(path: string, shard: Shard, vocabularySize: number): Promise<TokenArray> {
  const content = await readIfThere(path);
  if (content === undefined) throw new DataError(`Cannot use the shard ${path}: it is missing`);
  const tokens = allocateTokens(shard.tokens, vocabularySize);
  if (content.length !== tokens.byteLength) {
    throw new DataError(
      `Cannot use the shard ${path}: it has ${content.length} bytes in place of ` +
        `${tokens.byteLength}`,
    );
  }
  if (sha256(content) !== shard.sha256) {
    throw new DataError(`Cannot use the shard ${path}: its checksum differs`);
  }
  new Uint8Array(tokens.buffer).set(content);
  return tokens;
}

async function readManifest(path: string, key: string): Promise<Contents | undefined> {
  const content = await readIfThere(path);
  if (content === undefined) return undefined;
  try {
    const manifest: Manifest = JSON.parse(new TextDecoder().decode(content));
    const { sha256: checksum, ...contents } = manifest;
    if (manifest.key === key && sha256(JSON.stringify(contents)) === checksum) return contents;
  } catch (cause) {
    throw new DataError(`Cannot use the manifest ${path}: it is damaged`, { cause });
  }
  throw new DataError(`Cannot use the manifest ${path}: it is damaged or of another text`);
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
