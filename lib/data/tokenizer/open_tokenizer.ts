import { ConfigError } from "../../errors.ts";
import { shown } from "../arguments.ts";
import { ByteTokenizer } from "./byte_tokenizer.ts";
import { loadFileTokenizer } from "./file_tokenizer.ts";
import { loadGpt2Tokenizer } from "./gpt2_tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { TokenizerFile } from "./tokenizer_file.ts";

/** The tokenizers {@linkcode openTokenizer} opens by name alone. */
export type TokenizerName = "byte" | "gpt2";

// Opening is asynchronous, and each opener imports its own vocabulary: opening the byte tokenizer
// must not wait for the download of another one's tables.
const OPENERS: Readonly<Record<TokenizerName, () => Promise<Tokenizer>>> = {
  byte: () => Promise.resolve(new ByteTokenizer()),
  gpt2: loadGpt2Tokenizer,
};

/** The names {@linkcode openTokenizer} accepts without a file. */
export const TOKENIZER_NAMES: readonly TokenizerName[] = Object.freeze(
  Object.keys(OPENERS) as TokenizerName[],
);

/** The name of tokenizers from a file. */
const FILE = "file";

/**
 * Opens a tokenizer by its name.
 *
 * @param name One of {@linkcode TOKENIZER_NAMES}, or `file`.
 * @param file The `tokenizer.json` that `file` stands for: `data.tokenizer_file` of a run.
 * @returns The tokenizer.
 * @throws {ConfigError} If there is no tokenizer of that name, or no file to go with it.
 * @throws {DataError} If its vocabulary cannot be loaded.
 *
 * @example
 * ```ts
 * import { openTokenizer } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const tokenizer = await openTokenizer("byte");
 * assertEquals(tokenizer.vocabularySize, 257);
 * ```
 */
export async function openTokenizer(name: string, file?: TokenizerFile): Promise<Tokenizer> {
  if (name === FILE) return await loadFileTokenizer(requireFile(file));
  const known = TOKENIZER_NAMES.find((candidate) => candidate === name);
  if (known === undefined) {
    throw new ConfigError(
      `Cannot open the tokenizer ${shown(name)}: there is none of that name, use one of ${
        TOKENIZER_NAMES.map((candidate) => `"${candidate}"`).join(", ")
      }`,
    );
  }
  return await OPENERS[known]();
}

function requireFile(file: TokenizerFile | undefined): TokenizerFile {
  if (typeof file?.path === "string" && typeof file.sha256 === "string") return file;
  throw new ConfigError(
    `Cannot open the tokenizer "${FILE}": file is ${
      shown(file)
    }, expected data.tokenizer_file of ` +
      `a run that carries one`,
  );
}
