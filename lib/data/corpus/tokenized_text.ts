import type { TokenStream } from "./token_stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

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
