/** A run's tokenizer in the files that transformers reads. @module */

import type { DataConfig } from "../config/config.ts";
import { BYTE_CHARACTERS } from "../data/tokenizer/byte_alphabet.ts";
import { gpt2Tokens } from "../data/tokenizer/gpt2_tokenizer.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { readTokenizerJson, type TokenizerJson } from "../data/tokenizer/tokenizer_file.ts";
import { onPath } from "../files.ts";
import { mergesOf } from "./merges.ts";

/** The text of the token that ends a document, where the tokenizer has no text for it. */
const END = "<|endoftext|>";

/** The ids of the tokens around a document, for `config.json`. */
export interface DocumentEnds {
  readonly bos_token_id: number;
  readonly eos_token_id: number;
}

/**
 * Writes a tokenizer's files.
 *
 * @param data Which tokenizer.
 * @param tokenizer The same, open.
 * @returns The files' texts by name.
 * @throws {DataError} Its vocabulary cannot be loaded.
 */
export async function tokenizerFiles(
  data: DataConfig,
  tokenizer: Tokenizer,
): Promise<Record<string, string>> {
  const { endOfDocument, beginOfDocument = endOfDocument } = tokenizer;
  const file = data.tokenizer_file;
  if (file === undefined) {
    const json = data.tokenizer === "byte" ? byteLevelJson([], false) : await gpt2Json();
    return {
      "tokenizer.json": `${JSON.stringify(json)}\n`,
      "tokenizer_config.json": tokenizerConfig(END, END, data.sequence),
    };
  }
  const { json } = readTokenizerJson(file.path);
  const textOf = (id: number) => tokenTexts(json).get(id)!;
  return {
    "tokenizer.json": onPath("read", file.path, () => Deno.readTextFileSync(file.path)),
    "tokenizer_config.json": tokenizerConfig(
      textOf(beginOfDocument),
      textOf(endOfDocument),
      data.sequence,
    ),
  };
}

function tokenTexts({ model, added_tokens }: TokenizerJson): Map<number, string> {
  return new Map([
    ...Object.entries(model.vocab).map(([text, id]): [number, string] => [id, text]),
    ...added_tokens.map(({ id, content }): [number, string] => [id, content]),
  ]);
}

function tokenizerConfig(begin: string, end: string, sequence: number): string {
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: begin,
    eos_token: end,
    model_max_length: sequence,
    clean_up_tokenization_spaces: false,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

async function gpt2Json(): Promise<object> {
  return byteLevelJson(await gpt2Tokens(), true);
}

/** Byte pairs over GPT-2's alphabet; without tokens, the bytes alone in their order. */
function byteLevelJson(tokens: readonly Uint8Array[], splits: boolean): object {
  const texts = tokens.length === 0
    ? BYTE_CHARACTERS
    : tokens.map((bytes) => Array.from(bytes, (byte) => BYTE_CHARACTERS[byte]!).join(""));
  const merges = mergesOf(tokens).map((pair) =>
    pair.map((bytes) => Array.from(bytes, (byte) => BYTE_CHARACTERS[byte]!).join(""))
  );
  const level = { add_prefix_space: false, trim_offsets: true, use_regex: splits };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [{
      id: texts.length,
      content: END,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    }],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", ...level },
    post_processor: null,
    decoder: { type: "ByteLevel", ...level },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries([...texts, END].map((text, id) => [text, id])),
      merges,
    },
  };
}
