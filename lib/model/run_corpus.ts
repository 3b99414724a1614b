/** Prepares or identifies the text of a configuration. @module */

import type { DataConfig } from "../config/config.ts";
import { corpusHash, prepareCorpus } from "../data/corpus/corpus.ts";
import type { CorpusEvent, CorpusOptions } from "../data/corpus/options.ts";
import type { Corpus } from "../data/corpus/tokenized_text.ts";
import { bundledText } from "../data/text/bundled_text.ts";
import type { TextSource } from "../data/text/document.ts";
import { textFiles } from "../data/text/text_files.ts";
import { openTokenizer } from "../data/tokenizer/open_tokenizer.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";

/**
 * Prepares the text that a run trains and validates on. The same files give the same split.
 *
 * @param data The configuration's section.
 * @param tokenizer Its tokenizer.
 * @param onEvent Receives what the preparation reports.
 * @returns The tokens.
 * @throws {DataError} If the text cannot be used.
 */
export function runCorpus(
  data: DataConfig,
  tokenizer: Tokenizer,
  onEvent: (event: CorpusEvent) => void,
): Promise<Corpus> {
  return prepareCorpus(sourceOf(data), tokenizer, { ...corpusOptions(data), onEvent });
}

/**
 * Identifies the content of the text that a run would train and validate on now.
 *
 * @param data The configuration's section.
 * @returns `Corpus.contentHash` of the text; for the bundled text its version, without reading it.
 * @throws {DataError} If the text cannot be read.
 */
export async function textIdentity(data: DataConfig): Promise<string> {
  const source = sourceOf(data);
  if (isBundled(data)) return source.fingerprint!;
  return await corpusHash(
    source,
    await openTokenizer(data.tokenizer, data.tokenizer_file),
    corpusOptions(data),
  );
}

/**
 * Tells whether a run uses the bundled text alone, which does not change.
 *
 * @param data The configuration's section.
 * @returns False if it reads files.
 */
export function isBundled({ paths, validation_paths }: DataConfig): boolean {
  return paths.length === 0 && validation_paths.length === 0;
}

function sourceOf({ paths }: DataConfig): TextSource {
  return paths.length > 0 ? textFiles(paths) : bundledText();
}

function corpusOptions(
  { validation_paths, validation_fraction, cache }: DataConfig,
): Pick<CorpusOptions, "validation" | "validationFraction" | "cacheFolder"> {
  return {
    ...(validation_paths.length > 0
      ? { validation: textFiles(validation_paths) }
      : { validationFraction: validation_fraction }),
    ...(cache === null ? {} : { cacheFolder: cache }),
  };
}
