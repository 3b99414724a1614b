import { ConfigError } from "../../errors.ts";
import { shown } from "../arguments.ts";
import { ByteTokenizer } from "./byte_tokenizer.ts";
import { loadGpt2Tokenizer } from "./gpt2_tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The tokenizers {@linkcode openTokenizer} opens. */
export type TokenizerName = "byte" | "gpt2";

// Opening is asynchronous, and each opener imports its own vocabulary: opening the byte tokenizer
// must not wait for the download of another one's tables.
const OPENERS: Readonly<Record<TokenizerName, () => Promise<Tokenizer>>> = {
  byte: () => Promise.resolve(new ByteTokenizer()),
  gpt2: loadGpt2Tokenizer,
};

/** The names {@linkcode openTokenizer} accepts. */
export const TOKENIZER_NAMES: readonly TokenizerName[] = Object.freeze(
  Object.keys(OPENERS) as TokenizerName[],
);

/**
 * Opens a tokenizer by its name.
 *
 * @param name One of {@linkcode TOKENIZER_NAMES}.
 * @returns The tokenizer.
 * @throws {ConfigError} If there is no tokenizer of that name.
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
export async function openTokenizer(name: string): Promise<Tokenizer> {
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
