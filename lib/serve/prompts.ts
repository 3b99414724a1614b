/** The forms in which a request gives its prompts. @module */

import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { shown } from "../arguments.ts";
import { DataError } from "../data/errors.ts";
import { ApiError } from "./api_error.ts";
import type { ServeLimits } from "./limits.ts";

/** What prompts depend on. */
export interface PromptRules {
  /** Encodes texts. */
  readonly tokenizer: Tokenizer;
  /** Ids that the model knows, those that pad its vocabulary included. */
  readonly vocabulary: number;
  /** What the server accepts. */
  readonly limits: Pick<ServeLimits, "context">;
}

/** Throws if a prompt, the `index`-th, has too many tokens. */
export type LengthCheck = (length: number, index: number) => void;

/** Characters that no token has more of: longer texts are not worth encoding. */
const LONGEST_TOKEN = 128;

/**
 * Reads the prompts of a request: a text, a list of texts, a list of token ids, or a list of such
 * lists. Tokens are taken as they are, and nothing is put before a text; an empty text, or none, is
 * the token before a document.
 *
 * @param value The field `prompt`.
 * @param rules What they depend on.
 * @param check Called for each prompt before the next one is encoded, which holds the thread.
 * @returns The token ids of each prompt, at least one.
 * @throws {ApiError} If it has none of these forms.
 */
export function readPromptField(
  value: unknown,
  rules: PromptRules,
  check: LengthCheck,
): number[][] {
  const checked = (tokens: number[], i = 0): number[] => {
    check(tokens.length, i);
    return tokens;
  };
  if (value === undefined || value === null) return [checked([beginningOf(rules)])];
  if (typeof value === "string") return [checked(encode(value, "prompt", rules))];
  if (!Array.isArray(value)) throw badPrompt("prompt", value, EXPECTED);
  if (value.length === 0) throw new ApiError(400, "prompt is an empty list", { param: "prompt" });
  if (typeof value[0] === "number") return [checked(tokensOf(value, "prompt", rules))];
  const isTexts = typeof value[0] === "string";
  if (!isTexts && !Array.isArray(value[0])) throw badPrompt("prompt[0]", value[0], EXPECTED);
  return value.map((each: unknown, i) => {
    const name = `prompt[${i}]`;
    if (isTexts && typeof each === "string") return checked(encode(each, name, rules), i);
    if (!isTexts && Array.isArray(each)) return checked(tokensOf(each, name, rules), i);
    throw badPrompt(name, each, `${isTexts ? "a text" : "a list of token ids"} like the first`);
  });
}

const EXPECTED = "a text, a list of texts, a list of token ids or a list of such lists";

function encode(text: string, name: string, rules: PromptRules): number[] {
  if (!text.isWellFormed()) {
    throw new ApiError(400, `${name} holds half a surrogate pair, which UTF-8 cannot hold`, {
      param: "prompt",
    });
  }
  if (text === "") return [beginningOf(rules)];
  const { context } = rules.limits;
  if (text.length > context * LONGEST_TOKEN) {
    throw new ApiError(
      400,
      `${name} has ${text.length} characters, more than the ${context} tokens that a text may ` +
        `have here can hold; shorten it`,
      { param: "prompt", code: "context_length_exceeded" },
    );
  }
  try {
    return Array.from(rules.tokenizer.encode(text));
  } catch (cause) {
    if (!(cause instanceof DataError)) throw cause;
    throw new ApiError(400, `${name}: ${cause.message}`, { param: "prompt", cause });
  }
}

function beginningOf({ tokenizer: { endOfDocument, beginOfDocument } }: PromptRules): number {
  return beginOfDocument ?? endOfDocument;
}

function tokensOf(list: readonly unknown[], name: string, { vocabulary }: PromptRules): number[] {
  if (list.length === 0) {
    throw new ApiError(400, `${name} is an empty list, it needs a token id`, { param: "prompt" });
  }
  return list.map((id, i) => {
    if (Number.isInteger(id) && Number(id) >= 0 && Number(id) < vocabulary) return Number(id);
    throw badPrompt(`${name}[${i}]`, id, `a token id from 0 to ${vocabulary - 1}`);
  });
}

function badPrompt(name: string, value: unknown, expected: string): ApiError {
  return new ApiError(400, `${name} is ${shown(value)}, expected ${expected}`, { param: "prompt" });
}
