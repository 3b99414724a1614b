import { decodeDocuments, REPLACEMENT } from "./decode_documents.ts";
import { DataError } from "./errors.ts";
import type { DecodeOptions, Tokenizer } from "./tokenizer.ts";

/** What is used of the package: a computed import has no types. */
interface Encoding {
  encode(text: string, options: { disallowedSpecial: ReadonlySet<string> }): number[];
}

/** A token's text, or its bytes where they are no whole characters. */
type Ranks = readonly (string | readonly number[])[];

const PACKAGE = "npm:gpt-tokenizer@4.0.0";

/** Taken as text like any other: documents may well write of `<|endoftext|>`. */
const NO_SPECIAL_TOKENS = { disallowedSpecial: new Set<string>() };

/**
 * Loads GPT-2's byte-pair encoding (`r50k_base`): 50,256 merges and bytes, and the end of a document
 * as 50,256. It comes from an npm package (30 MB), fetched when it is first asked for.
 *
 * @returns The tokenizer.
 * @throws {DataError} If the package cannot be loaded.
 */
export async function loadGpt2Tokenizer(): Promise<Tokenizer> {
  try {
    // Not literals: Deno fetches what a literal import() names as soon as the program starts.
    const [encoding, ranks]: [Encoding, { readonly default: Ranks }] = await Promise.all([
      import(`${PACKAGE}/encoding/r50k_base`),
      import(`${PACKAGE}/bpeRanks/r50k_base`),
    ]);
    return new Gpt2Tokenizer(encoding, ranks.default);
  } catch (cause) {
    throw new DataError(
      `Cannot load the gpt2 tokenizer, ${PACKAGE}: it comes from npm, so connect to the network ` +
        `once, or use data.tokenizer byte`,
      { cause },
    );
  }
}

class Gpt2Tokenizer implements Tokenizer {
  readonly name = "gpt2";
  readonly vocabularySize: number;
  readonly endOfDocument: number;
  readonly #encoding: Encoding;
  /** Bytes of each token; none of the end of a document. */
  readonly #bytes: readonly Uint8Array[];

  constructor(encoding: Encoding, ranks: Ranks) {
    const encoder = new TextEncoder();
    this.#encoding = encoding;
    this.#bytes = [
      ...Array.from(
        ranks,
        (rank) => typeof rank === "string" ? encoder.encode(rank) : Uint8Array.from(rank),
      ),
      new Uint8Array(0),
    ];
    this.endOfDocument = ranks.length;
    this.vocabularySize = ranks.length + 1;
  }

  encode(text: string): Int32Array<ArrayBuffer> {
    return Int32Array.from(this.#encoding.encode(text.toWellFormed(), NO_SPECIAL_TOKENS));
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
    let length = 0;
    for (let i = 0; i < tokens.length; i++) {
      length += (this.#bytes[tokens[i]!] ?? REPLACEMENT).length;
    }
    return length;
  }
}
