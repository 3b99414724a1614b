/** Prepares the text of a configuration. @module */

import type { DataConfig } from "../config/config.ts";
import { prepareCorpus } from "../data/corpus/corpus.ts";
import type { CorpusEvent } from "../data/corpus/options.ts";
import type { Corpus } from "../data/corpus/tokenized_text.ts";
import { bundledText } from "../data/text/bundled_text.ts";
import { textFiles } from "../data/text/text_files.ts";
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
  const source = data.paths.length > 0 ? textFiles(data.paths) : bundledText();
  return prepareCorpus(source, tokenizer, {
    ...(data.validation_paths.length > 0
      ? { validation: textFiles(data.validation_paths) }
      : { validationFraction: data.validation_fraction }),
    ...(data.cache === null ? {} : { cacheFolder: data.cache }),
    onEvent,
  });
}
