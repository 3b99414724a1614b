/** The forms in which a request gives its prompts. @module */

import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { shown } from "../arguments.ts";
import { DataError } from "../data/errors.ts";
import { ApiError } from "./api_error.ts";

/** What prompts depend on. */
export interface PromptRules {
  /** Encodes texts. */
  readonly tokenizer: Tokenizer;
  /** Ids that the model knows, those that pad its vocabulary included. */
  readonly vocabulary: number;
}

/**
 * Reads the prompts of a request: a text, a list of texts, a list of token ids, or a list of such
 * lists. Tokens are taken as they are, and nothing is put before a text; an empty text, or none, is
 * the token before a document.
 *
 * @param value The field `prompt`.
 * @param rules What they depend on.
 * @returns The token ids of each prompt, at least one.
 * @throws {ApiError} If it has none of these forms.
 */
export function readPromptField(value: unknown, rules: PromptRules): number[][] {
  if (value === undefined || value === null) return [[beginningOf(rules)]];
  if (typeof value === "string") return [encode(value, "prompt", rules)];
  if (!Array.isArray(value)) throw badPrompt("prompt", value, EXPECTED);
  if (value.length === 0) throw new ApiError(400, "prompt is an empty list", { param: "prompt" });
  if (typeof value[0] === "number") return [tokensOf(value, "prompt", rules)];
  const isTexts = typeof value[0] === "string";
  if (!isTexts && !Array.isArray(value[0])) throw badPrompt("prompt[0]", value[0], EXPECTED);
  return value.map((each: unknown, i) => {
    const name = `prompt[${i}]`;
    if (isTexts && typeof each === "string") return encode(each, name, rules);
    if (!isTexts && Array.isArray(each)) return tokensOf(each, name, rules);
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
