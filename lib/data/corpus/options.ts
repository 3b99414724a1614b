/** Options and events of {@linkcode prepareCorpus}, and checks of its arguments. @module */

import { requireFunction, requirePath, requireText } from "../../arguments.ts";
import { ConfigError } from "../../errors.ts";
import { checkObject, shown } from "../arguments.ts";
import type { PassedOver, TextSource } from "../text/document.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** What {@linkcode prepareCorpus} reports about its work. */
export type CorpusEvent =
  /** The text is being tokenized: bytes done and bytes in total. */
  | { readonly kind: "tokenizing"; readonly bytes: number; readonly totalBytes: number }
  /** An interrupted preparation resumes after `bytes` bytes. */
  | { readonly kind: "continued"; readonly bytes: number; readonly totalBytes: number }
  /** The tokens came from the cache. */
  | { readonly kind: "cache-loaded"; readonly folder: string }
  /** The tokens were written to the cache. */
  | { readonly kind: "cache-saved"; readonly folder: string }
  /** The cache is damaged and will be rebuilt. */
  | { readonly kind: "cache-damaged"; readonly folder: string; readonly reason: string }
  /** The cache cannot be used, and the tokens are held only in memory. */
  | { readonly kind: "cache-unavailable"; readonly reason: string }
  /** Files without text, or bytes that are not text, were skipped. */
  | { readonly kind: "passed-over"; readonly found: readonly PassedOver[] }
  /** Documents of the validation text are also in the training text. */
  | { readonly kind: "shared-documents"; readonly shared: number; readonly documents: number };

/** Options of {@linkcode prepareCorpus}. */
export interface CorpusOptions {
  /** Fraction of the text held back for validation, in (0, 0.5]; 1/20 by default. */
  readonly validationFraction?: number;
  /** A separate validation text; all of the source is then trained on. */
  readonly validation?: TextSource;
  /** Folder for cached tokens, by default {@linkcode defaultCacheFolder}; `false` for none. */
  readonly cacheFolder?: string | false;
  /** Threads that tokenize, at most eight; by default one per core where that helps. */
  readonly workers?: number;
  /** Receives events, for a progress line or a log. */
  readonly onEvent?: (event: CorpusEvent) => void;
}

/**
 * Refuses arguments that no text can be prepared with.
 *
 * @param source The text.
 * @param tokenizer The tokenizer.
 * @param options Settings.
 * @throws {TypeError} If an argument has the wrong type.
 * @throws {RangeError} If a count is out of range.
 */
export function checkArguments(
  source: TextSource,
  tokenizer: Tokenizer,
  options: CorpusOptions,
): void {
  checkObject(options, [], "prepare a text with these options");
  const { validation, cacheFolder = false, workers = 0, onEvent = () => {} } = options;
  for (const text of validation === undefined ? [source] : [source, validation]) {
    checkObject(text, ["documents"], "prepare a text");
    const { name, fingerprint = "", identify = () => {} } = text;
    requireText("prepare a text", "its name", name);
    requireText("prepare a text", "its fingerprint", fingerprint);
    requireFunction("prepare a text", "its identify", identify);
  }
  checkObject(tokenizer, ["encode", "byteLength"], "tokenize a text");
  requireText("use a tokenizer", "its name", tokenizer.name);
  if (cacheFolder !== false) requirePath("cache tokens", "cacheFolder", cacheFolder);
  requireFunction("prepare a text", "onEvent", onEvent);
  const { vocabularySize, endOfDocument } = tokenizer;
  const isSize = Number.isSafeInteger(vocabularySize) && vocabularySize <= 2 ** 31;
  if (
    !(isSize && Number.isInteger(endOfDocument) && endOfDocument >= 0 &&
      endOfDocument < vocabularySize)
  ) {
    throw new RangeError(
      `Cannot tokenize with a vocabulary of ${shown(vocabularySize)} tokens of which ` +
        `${shown(endOfDocument)} ends a document`,
    );
  }
  if (Number.isSafeInteger(workers) && workers >= 0) return;
  throw new RangeError(`Cannot tokenize with ${shown(workers)} workers: give a whole number`);
}

/**
 * Refuses a fraction that is not in (0, 0.5].
 *
 * @param fraction The fraction held back for validation.
 * @throws {ConfigError} If it is out of range.
 */
export function checkFraction(fraction: number): void {
  if (typeof fraction === "number" && fraction > 0 && fraction <= 0.5) return;
  throw new ConfigError(
    `Cannot keep a fraction of ${
      shown(fraction)
    } for validation: it must be above 0 and at most 0.5`,
  );
}

/** Copies a source: it is read later, and the caller may change the object in the meantime. */
export function asGiven(source: TextSource): TextSource {
  const { name, fingerprint, identify, documents } = source;
  return {
    name,
    ...(fingerprint === undefined ? {} : { fingerprint }),
    ...(identify === undefined ? {} : { identify: () => identify.call(source) }),
    documents: (observer) => documents.call(source, observer),
  };
}
