import type { TokenStream } from "./token_stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** Token ids as they are stored: two bytes each where the vocabulary allows. */
export type TokenArray = Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** Documents one after another, each with an end of document. */
export interface TokenizedText {
  /** The token ids. */
  readonly tokens: TokenStream;
  /** Number of documents. */
  readonly documents: number;
  /** Bytes of text in UTF-8; an end of document counts none. */
  readonly bytes: number;
}

/** One side of a corpus: all of its documents, and the same by domain. */
export interface CorpusSide extends TokenizedText {
  /** The documents of each domain, in the order in which `tokens` joins them. */
  readonly domains: ReadonlyMap<string, TokenizedText>;
}

/** A tokenized text, split for training and validation. */
export interface Corpus {
  /** The name of the text's source. */
  readonly source: string;
  /** SHA-256 of the documents, which a run records to know its text again. */
  readonly contentHash: string;
  /** The tokenizer's identity. */
  readonly tokenizer: Pick<Tokenizer, "name" | "vocabularySize" | "endOfDocument">;
  /** The fraction asked for validation; null: the validation text was given apart. */
  readonly validationFraction: number | null;
  /** Documents of a validation text given apart that the training text holds as well. */
  readonly sharedDocuments: number;
  /** The text to train on. */
  readonly train: CorpusSide;
  /** The text held back. */
  readonly validation: CorpusSide;
}

/** Makes room for the tokens of a vocabulary. */
export function allocateTokens(length: number, vocabularySize: number): TokenArray {
  return vocabularySize <= 2 ** 16 ? new Uint16Array(length) : new Uint32Array(length);
}

/** Joins arrays of a vocabulary's tokens. */
export function joinTokens(parts: readonly TokenArray[], vocabularySize: number): TokenArray {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const joined = allocateTokens(length, vocabularySize);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
