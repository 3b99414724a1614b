import type { TokenStream } from "./token_stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** Tokenized documents, each followed by an end of document. */
export interface TokenizedText {
  /** The token ids. */
  readonly tokens: TokenStream;
  /** Number of documents. */
  readonly documents: number;
  /** Bytes of text in UTF-8; an end of document counts as none. */
  readonly bytes: number;
}

/** One side of a corpus: all of its documents, and the same ones by domain. */
export interface CorpusSide extends TokenizedText {
  /** The documents of each domain, in the order `tokens` concatenates them. */
  readonly domains: ReadonlyMap<string, TokenizedText>;
}

/** A tokenized text, split into training and validation. */
export interface Corpus {
  /** The name of the text's source. */
  readonly source: string;
  /** SHA-256 of the documents, by which a resumed run recognises its text. */
  readonly contentHash: string;
  /** The tokenizer's identity. */
  readonly tokenizer: Pick<Tokenizer, "name" | "vocabularySize" | "endOfDocument">;
  /** The fraction held back for validation; null if a separate validation text was given. */
  readonly validationFraction: number | null;
  /** Documents of a separate validation text that are also in the training text. */
  readonly sharedDocuments: number;
  /** The text to train on. */
  readonly train: CorpusSide;
  /** The text held back. */
  readonly validation: CorpusSide;
}
