/**
 * Training text: sources of documents, tokenizers, the split into training and validation, and
 * batches of tokens that a run can resume at any step.
 *
 * Data flows from a {@linkcode TextSource} ({@linkcode bundledText}, {@linkcode textFiles}) through
 * a {@linkcode Tokenizer} ({@linkcode openTokenizer}) into a {@linkcode Corpus}
 * ({@linkcode prepareCorpus}), whose tokens {@linkcode BatchSampler} and {@linkcode ValidationSet}
 * cut into batches. Batches are arrays in memory; a training loop uploads them to its device.
 *
 * @example
 * ```ts
 * import { BatchSampler, openTokenizer, prepareCorpus, textsInMemory } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const tokenizer = await openTokenizer("byte");
 * const source = textsInMemory(["A text to learn by heart, word by word. ".repeat(100)]);
 * const corpus = await prepareCorpus(source, tokenizer, { cacheFolder: false });
 * const sampler = new BatchSampler(corpus.train.tokens, { sequence: 32, seed: 1 });
 * assertEquals(sampler.next(8).tokens.length, 8 * 32);
 * ```
 *
 * @module
 */

export { type Batch } from "./batches/batches.ts";
export {
  BatchSampler,
  type BatchSamplerOptions,
  type SamplerState,
} from "./batches/batch_sampler.ts";
export { bitsPerByte } from "./batches/bits_per_byte.ts";
export { bundledText } from "./text/bundled_text.ts";
export { ByteTokenizer } from "./tokenizer/byte_tokenizer.ts";
export { defaultCacheFolder } from "./corpus/cache_folder.ts";
export { prepareCorpus } from "./corpus/corpus.ts";
export type { CorpusEvent, CorpusOptions } from "./corpus/options.ts";
export {
  type Document,
  NO_DOMAIN,
  type PassedOver,
  type ReadingObserver,
  type TextSource,
} from "./text/document.ts";
export { DataError } from "./errors.ts";
export { textsInMemory } from "./text/memory_source.ts";
export {
  MixtureSampler,
  type MixtureSamplerOptions,
  type MixtureState,
} from "./batches/mixture_sampler.ts";
export { openTokenizer, TOKENIZER_NAMES, type TokenizerName } from "./tokenizer/open_tokenizer.ts";
export { Permutation } from "./batches/permutation.ts";
export { philox4x32, type PhiloxCounter, type PhiloxKey, philoxKey } from "./batches/philox.ts";
export { DEFAULT_VALIDATION_FRACTION, type DocumentSplit, splitDocuments } from "./corpus/split.ts";
export { textFiles } from "./text/text_files.ts";
export {
  joinStreams,
  memoryStream,
  readAllTokens,
  type TokenStream,
} from "./corpus/token_stream.ts";
export { TextStream } from "./tokenizer/text_stream.ts";
export type { TokenArray } from "./corpus/token_array.ts";
export type { Corpus, CorpusSide, TokenizedText } from "./corpus/tokenized_text.ts";
export type { DecodeOptions, Tokenizer } from "./tokenizer/tokenizer.ts";
export type { TokenizerFile } from "./tokenizer/tokenizer_file.ts";
export { ValidationSet, type ValidationSetOptions } from "./batches/validation_set.ts";
