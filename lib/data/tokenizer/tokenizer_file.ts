/** Describes a `tokenizer.json` that a run carries, and reads it back unchanged. @module */

import { createHash } from "node:crypto";
import { systemReason } from "../../system_reason.ts";
import { DataError } from "../errors.ts";

/** A `tokenizer.json` as a configuration describes it. */
export interface TokenizerFile {
  /** Its path, absolute; a run's `config.json` holds it relative to the run directory. */
  readonly path: string;
  /** SHA-256 of the file in hexadecimal. */
  readonly sha256: string;
  /** Number of token ids: one more than the largest. */
  readonly vocabulary: number;
  /** Id of the token after each document. */
  readonly end_of_document: number;
  /** Id of the token before each document; null if the end of the one before it serves. */
  readonly begin_of_document: number | null;
}

/** An entry of `added_tokens`. */
interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** The parts of a `tokenizer.json` that are read here; the package reads the others. */
export interface TokenizerJson {
  readonly model: {
    readonly type?: string | null;
    readonly vocab: Readonly<Record<string, number>>;
  };
  readonly decoder: DecoderJson | null;
  readonly added_tokens: readonly AddedToken[];
}

/** A decoder of a `tokenizer.json`. */
export interface DecoderJson {
  readonly type: string;
  readonly decoders?: readonly DecoderJson[];
  readonly pattern?: { readonly String?: string };
  readonly content?: string;
  readonly start?: number;
  readonly replacement?: string;
  readonly prepend_scheme?: string;
  readonly add_prefix_space?: boolean;
}

/**
 * Reads a `tokenizer.json` and describes it.
 *
 * @param path The file, absolute.
 * @param ends The ids of the tokens around a document.
 * @returns The description.
 * @throws {DataError} The file cannot be read or used, or has no token of such an id.
 */
export function describeTokenizerFile(
  path: string,
  ends: Pick<TokenizerFile, "end_of_document" | "begin_of_document">,
): TokenizerFile {
  const { json, sha256 } = readTokenizerJson(path);
  const ids = new Set(tokensOf(json).map(([, id]) => id));
  for (const [name, id] of Object.entries(ends)) {
    if (id !== null && !ids.has(id)) {
      throw new DataError(`Cannot use ${path}: ${name} is ${id}, and it has no token of that id`);
    }
  }
  const vocabulary = 1 + [...ids].reduce((most, id) => Math.max(most, id), -1);
  return { path, sha256, vocabulary, ...ends };
}

/**
 * Reads a `tokenizer.json`.
 *
 * @param path The file.
 * @returns What it holds, its model and tokens checked, and its hash.
 * @throws {DataError} The file cannot be read, or is not one of byte pairs.
 */
export function readTokenizerJson(path: string): { json: TokenizerJson; sha256: string } {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Deno.readFileSync(path);
  } catch (cause) {
    throw new DataError(`Cannot read the tokenizer ${path}: ${systemReason(cause)}`, { cause });
  }
  const fail = (reason: string, cause?: unknown): never => {
    throw new DataError(`Cannot use the tokenizer ${path}: ${reason}`, { cause });
  };
  let json: TokenizerJson;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    return fail("it is not JSON in UTF-8", cause);
  }
  const { model, added_tokens: added } = json ?? {};
  if (typeof model !== "object" || model === null) fail("it has no model");
  if (model.type !== "BPE") fail(`its model is ${model.type}, expected BPE`);
  const isVocabulary = typeof model.vocab === "object" && model.vocab !== null &&
    Object.values(model.vocab).every(isId);
  if (!isVocabulary) fail("its model.vocab is not a map from tokens to ids");
  const areAdded = Array.isArray(added) &&
    added.every((token) => isId(token?.id) && typeof token.content === "string");
  if (!areAdded) fail("its added_tokens are not a list of tokens");
  return { json, sha256: createHash("sha256").update(bytes).digest("hex") };
}

/** Every token and its id; added tokens come last, since they take precedence. */
export function tokensOf({ model, added_tokens }: TokenizerJson): [text: string, id: number][] {
  return [
    ...Object.entries(model.vocab),
    ...added_tokens.map(({ content, id }): [string, number] => [content, id]),
  ];
}

function isId(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 31;
}
