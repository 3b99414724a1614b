/** Loss and bits per byte of texts, domain by domain. @module */

import { createHash } from "node:crypto";
import { bitsPerByte } from "../data/batches/bits_per_byte.ts";
import { DataError } from "../data/errors.ts";
import type { CorpusSide } from "../data/corpus/tokenized_text.ts";
import type { TokenStream } from "../data/corpus/token_stream.ts";
import { NO_DOMAIN, type TextSource } from "../data/text/document.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import type { Figure } from "./metrics.ts";
import { requireNumbers } from "./require_numbers.ts";
import { type EncodeOptions, rollingRequests, type ScoreRequest } from "./request.ts";
import type { Scorer } from "./scorer.ts";

/** A document to measure. */
export interface MeasuredDocument {
  /** Its windows. */
  readonly requests: readonly ScoreRequest[];
  /** Its tokens, all of them scored. */
  readonly tokens: number;
  /** Its bytes in UTF-8. */
  readonly bytes: number;
  /** SHA-256 of these bytes. */
  readonly sha256: string;
}

/** Documents by domain. */
export type TextDomains = ReadonlyMap<string, readonly MeasuredDocument[]>;

/** What was measured of a domain's documents, or of all. */
export interface TextFigures {
  /** Number of documents. */
  readonly documents: number;
  /** Tokens scored. */
  readonly tokens: number;
  /** Bytes of text. */
  readonly bytes: number;
  /** Nats per token. */
  readonly loss: number;
  /** Bits per byte of text. */
  readonly bitsPerByte: number;
  /** Its standard error over documents; null for a single one. */
  readonly standardError: number | null;
}

/** What was measured of texts. */
export interface TextResult {
  /** By domain, in the order of the text. */
  readonly domains: ReadonlyMap<string, TextFigures>;
  /** All of them. */
  readonly all: TextFigures;
  /** The loss of each document, by domain, in the order of the text. */
  readonly documents: ReadonlyMap<string, readonly DocumentLoss[]>;
}

/** The loss of a document. */
export interface DocumentLoss {
  /** Tokens scored. */
  readonly tokens: number;
  /** Bytes of text. */
  readonly bytes: number;
  /** Sum over its tokens. */
  readonly nats: number;
}

/** The lengths and the tokenizer, and how much of a text is measured. */
export interface TextOptions extends Pick<EncodeOptions, "tokenizer" | "maxLength"> {
  /** Documents per domain. Default all. */
  readonly limit?: number | undefined;
}

/**
 * Reads and encodes texts.
 *
 * @param source The texts.
 * @param options The tokenizer, the lengths and the limit.
 * @returns The documents by domain.
 * @throws {DataError} If the text cannot be read, or there is none.
 */
export async function documentsOf(source: TextSource, options: TextOptions): Promise<TextDomains> {
  const { tokenizer, limit = Infinity } = options;
  const domains = new Map<string, MeasuredDocument[]>();
  for await (const { text, domain = NO_DOMAIN } of source.documents()) {
    const documents = domains.get(domain) ?? [];
    domains.set(domain, documents);
    if (documents.length < limit) documents.push(measured(text, tokenizer.encode(text), options));
  }
  return domains;
}

/**
 * Takes the documents of a run's text, which ends each with a token of its own.
 *
 * @param side The tokenized text.
 * @param options The tokenizer, the lengths and the limit.
 * @returns The documents by domain.
 */
export function documentsIn(side: CorpusSide, options: TextOptions): TextDomains {
  const { tokenizer, limit = Infinity } = options;
  return new Map([...side.domains].map(([domain, { tokens }]) => [
    domain,
    splitDocuments(tokens, tokenizer, limit).map((document) =>
      measured(tokenizer.decode(document), document, options)
    ),
  ]));
}

/**
 * Measures documents.
 *
 * @param domains The documents by domain.
 * @param scorer Scores them.
 * @param onTokens Called after each batch with the number of tokens that the model read.
 * @returns The figures.
 * @throws {DataError} If there is no text.
 * @throws {LogitsError} If a loss is not a number.
 */
export function measureText(
  domains: TextDomains,
  scorer: Scorer,
  onTokens?: (tokens: number) => void,
): TextResult {
  const losses = [...domains].map(([name, documents]): [string, DocumentLoss[]] => {
    const scores = scorer.score(windowsOf(documents), onTokens).flat();
    requireNumbers(scores, `the text of ${name}`);
    let next = 0;
    const nats = documents.map(({ requests }) =>
      requests.reduce((sum) => sum - scores[next++]!.logLikelihood, 0)
    );
    return [name, documents.map(({ tokens, bytes }, i) => ({ tokens, bytes, nats: nats[i]! }))];
  });
  const measured = losses.filter(([, documents]) => documents.some(({ bytes }) => bytes > 0));
  if (measured.length === 0) throw new DataError("Cannot measure the text: it has no characters");
  return {
    domains: new Map(measured.map(([name, documents]) => [name, figuresOf(documents)])),
    all: figuresOf(measured.flatMap(([, documents]) => documents)),
    documents: new Map(measured),
  };
}

/** The windows of all documents of a domain, as items of one request each. */
export function windowsOf(documents: readonly MeasuredDocument[]): ScoreRequest[][] {
  return documents.flatMap(({ requests }) => requests.map((request) => [request]));
}

function measured(text: string, tokens: Int32Array, options: TextOptions): MeasuredDocument {
  // Not the tokens' bytes: some tokenizers begin each text with a space of their own.
  const bytes = new TextEncoder().encode(text);
  return {
    requests: rollingRequests(tokens, options),
    ...{ tokens: tokens.length, bytes: bytes.length },
    sha256: createHash("sha256").update(bytes).digest("hex"),
  };
}

function splitDocuments(stream: TokenStream, tokenizer: Tokenizer, limit: number): Int32Array[] {
  const ids = new Int32Array(stream.length);
  stream.read(0, ids);
  const documents: Int32Array[] = [];
  for (let from = 0; from < ids.length && documents.length < limit;) {
    const found = ids.indexOf(tokenizer.endOfDocument, from);
    const end = found < 0 ? ids.length : found;
    if (end > from) documents.push(ids.subarray(from, end));
    from = end + 1;
  }
  return documents;
}

function figuresOf(documents: readonly DocumentLoss[]): TextFigures {
  const total = (of: keyof DocumentLoss): number =>
    documents.reduce((sum, document) => sum + document[of], 0);
  const [tokens, bytes] = [total("tokens"), total("bytes")];
  const { value, standardError } = bitsOf(documents);
  return {
    ...{ documents: documents.length, tokens, bytes, loss: total("nats") / tokens },
    ...{ bitsPerByte: value, standardError },
  };
}

/**
 * Computes bits per byte, a ratio of two sums over documents.
 *
 * @param documents Nats and bytes of each, at least one.
 * @returns The figure; its standard error is to first order, with documents as samples.
 */
export function bitsOf(documents: readonly Pick<DocumentLoss, "nats" | "bytes">[]): Figure {
  const n = documents.length;
  const nats = documents.reduce((sum, document) => sum + document.nats, 0);
  const bytes = documents.reduce((sum, document) => sum + document.bytes, 0);
  const value = bitsPerByte(nats, bytes);
  if (n < 2) return { value, standardError: null };
  const residual = (document: { nats: number; bytes: number }): number =>
    document.nats - nats / bytes * document.bytes;
  const squares = documents.reduce((sum, document) => sum + residual(document) ** 2, 0);
  return { value, standardError: Math.sqrt(squares * n / (n - 1)) / bytes / Math.LN2 };
}
