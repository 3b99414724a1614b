/** Texts to score, as tokens. @module */

import { shown } from "../arguments.ts";
import { DataError } from "../data/errors.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { splitTrailingSpace } from "./spaces.ts";

/** Tokens of which the last are scored. */
export interface ScoreRequest {
  /** A context, at least one token, and the tokens to score. */
  readonly tokens: Int32Array;
  /** How many of the last tokens are scored. */
  readonly scored: number;
}

/** How texts become requests. */
export interface EncodeOptions {
  /** The model's tokenizer. */
  readonly tokenizer: Tokenizer;
  /** Most tokens that the model reads at a time. */
  readonly maxLength: number;
  /** Whether the token that comes before documents precedes the context. Default false. */
  readonly bos?: boolean | undefined;
}

/** A request, and whether its context lost tokens. */
export interface EncodedRequest extends ScoreRequest {
  /** Whether the context was cut to fit. */
  readonly isCut: boolean;
}

/**
 * Encodes a continuation of a context as lm-evaluation-harness does: spaces at the context's end
 * belong to the continuation; both are encoded together, and what exceeds the context's own number
 * of tokens is the continuation's. An empty context is the token that comes before documents. The context loses
 * its first tokens where the model would have to read more than `maxLength`; the last token is
 * never read, only scored.
 *
 * @param context The text before it.
 * @param continuation The text to score.
 * @param options The tokenizer and the lengths.
 * @returns The request.
 * @throws {DataError} If the continuation has no token of its own, or more than fit.
 */
export function encodeRequest(
  context: string,
  continuation: string,
  { tokenizer, maxLength, bos = false }: EncodeOptions,
): EncodedRequest {
  const [kept, space] = splitTrailingSpace(context);
  const before = tokenizer.encode(kept);
  const after = tokenizer.encode(kept + space + continuation).subarray(before.length);
  if (after.length === 0 || after.length > maxLength) {
    throw new DataError(
      `Cannot score ${shown(continuation)}: it has ${after.length} tokens, expected 1 to ` +
        `${maxLength}, the most that the model reads at a time` +
        (after.length > maxLength ? "; raise --max-length" : ""),
    );
  }
  const first = bos || before.length === 0 ? [beginOf(tokenizer)] : [];
  const whole = Int32Array.from([...first, ...before, ...after]);
  const excess = Math.max(0, whole.length - (maxLength + 1));
  return { tokens: whole.subarray(excess), scored: after.length, isCut: excess > 0 };
}

/**
 * Cuts a document into requests that score each of its tokens once, as the harness's rolling
 * windows do: the token that comes before documents precedes the first; windows do not overlap in what they
 * score, each sees at least the token before it, and the last is filled up with earlier ones.
 *
 * @param tokens The document.
 * @param options The tokenizer and the lengths.
 * @returns The requests, in order; none for an empty document.
 */
export function rollingRequests(
  tokens: ArrayLike<number>,
  { tokenizer, maxLength }: Pick<EncodeOptions, "tokenizer" | "maxLength">,
): ScoreRequest[] {
  const whole = Int32Array.from([beginOf(tokenizer), ...Array.from(tokens)]);
  const requests: ScoreRequest[] = [];
  for (let from = 1; from < whole.length; from += maxLength) {
    const end = Math.min(from + maxLength, whole.length);
    const start = Math.max(0, end - 1 - maxLength);
    requests.push({ tokens: whole.subarray(start, end), scored: end - from });
  }
  return requests;
}

/** The token before a document. */
function beginOf({ endOfDocument, beginOfDocument = endOfDocument }: Tokenizer): number {
  return beginOfDocument;
}
