/**
 * A worker of {@linkcode TokenizerPool}: opens a tokenizer once and encodes the texts it is sent.
 *
 * @module
 */

import { type EncodedTexts, encodeTexts } from "./encode_texts.ts";
import { openTokenizer } from "../tokenizer/open_tokenizer.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** A request to a worker. */
export interface WorkerRequest {
  /** The tokenizer's name. */
  readonly tokenizer: string;
  /** The texts to encode. */
  readonly texts: readonly string[];
}

/** A worker's reply. */
export interface WorkerReply {
  /** The texts' tokens. */
  readonly encoded: EncodedTexts;
}

/** The part of a worker's global scope that is used. */
interface WorkerScope {
  addEventListener(type: "message", listener: (event: MessageEvent<WorkerRequest>) => void): void;
  postMessage(reply: WorkerReply, transfer?: ArrayBuffer[]): void;
}

const scope = globalThis as unknown as WorkerScope;
let opening: Promise<Tokenizer> | undefined;

scope.addEventListener("message", async ({ data }) => {
  opening ??= openTokenizer(data.tokenizer);
  const encoded = encodeTexts(await opening, data.texts);
  scope.postMessage({ encoded }, [encoded.tokens.buffer]);
});
