/** What a request to complete texts may say. @module */

import { z } from "zod";
import { shown } from "../arguments.ts";
import { ApiError, unknownField } from "./api_error.ts";
import type { ServeLimits } from "./limits.ts";
import type { PromptRequest } from "./prompt_job.ts";
import { type PromptRules, readPromptField } from "./prompts.ts";

/** A checked request. */
export interface CompletionRequest {
  /** The prompts, with what to do with each. */
  readonly prompts: readonly PromptRequest[];
  /** Texts per prompt. */
  readonly texts: number;
  /** Whether answers begin with the prompt. */
  readonly echo: boolean;
  /** How many of the likeliest tokens are reported; null: no log-probabilities. */
  readonly logprobs: number | null;
  /** Whether the answer comes piece by piece. */
  readonly stream: boolean;
  /** Whether a stream ends with the numbers of tokens. */
  readonly includeUsage: boolean;
  /** Whether token ids are reported as well. */
  readonly tokenIds: boolean;
}

/** What requests are checked against. */
export interface RequestRules extends PromptRules {
  /** The name of the model. */
  readonly model: string;
  /** What the server accepts. */
  readonly limits: ServeLimits;
}

/** A field: its values, and how the answer to any other describes them. */
interface Field<T> {
  readonly schema: z.ZodType<T>;
  readonly expected: string;
}

function field<T>(schema: z.ZodType<T>, expected: string): Field<T> {
  return { schema, expected };
}

function whole(least: number, most: number): Field<number> {
  const bounds = most === Number.MAX_SAFE_INTEGER
    ? `of at least ${least}`
    : `from ${least} to ${most}`;
  return field(z.int().min(least).max(most), `a whole number ${bounds}`);
}

const FLAG = field(z.boolean(), "true or false");
const STOP = z.string().min(1).max(1000).refine((text) => text.isWellFormed());
const MOST_STOPS = 4;

/** The fields that change the answer. */
const FIELDS = {
  model: field(z.string(), "the name of a model"),
  max_tokens: whole(0, Number.MAX_SAFE_INTEGER),
  temperature: field(z.number().min(0).max(100), "a number from 0 to 100"),
  top_p: field(z.number().gt(0).max(1), "a number above 0 and at most 1"),
  top_k: whole(1, Number.MAX_SAFE_INTEGER),
  logprobs: whole(0, 5),
  echo: FLAG,
  stop: field(
    z.union([STOP, z.array(STOP).max(MOST_STOPS)]),
    `a text or a list of up to ${MOST_STOPS}, each of 1 to 1000 characters`,
  ),
  seed: whole(0, Number.MAX_SAFE_INTEGER),
  n: whole(1, Number.MAX_SAFE_INTEGER),
  stream: FLAG,
  stream_options: field(
    z.strictObject({ include_usage: z.boolean().optional() }),
    'an object like {"include_usage": true}',
  ),
  return_token_ids: FLAG,
} as const;

type Values = { readonly [K in keyof typeof FIELDS]?: z.infer<(typeof FIELDS)[K]["schema"]> };

/** Fields that change nothing here, whatever they say. */
const HARMLESS: readonly string[] = ["user", "metadata", "store"];

/** Fields of the API that are taken only where they ask for nothing. */
const NEUTRAL: Readonly<Record<string, (value: unknown, values: Values) => boolean>> = {
  best_of: (value, { n = 1 }) => value === n,
  presence_penalty: (value) => value === 0,
  frequency_penalty: (value) => value === 0,
  logit_bias: (value) =>
    typeof value === "object" && value !== null && Object.keys(value).length === 0,
  suffix: (value) => value === "",
};

const KNOWN = ["prompt", ...Object.keys(FIELDS), ...HARMLESS, ...Object.keys(NEUTRAL)];

/**
 * Checks a request to complete texts. A field that is null counts as left out.
 *
 * @param body The request.
 * @param rules What it is checked against.
 * @returns What to do.
 * @throws {ApiError} If a field is unknown, not supported or out of range, names another model, or
 * a text would be too long.
 */
export function parseCompletion(
  body: Readonly<Record<string, unknown>>,
  rules: RequestRules,
): CompletionRequest {
  const values = readFields(body);
  requireModel(values.model, rules.model);
  const { n: texts = 1, echo = false, logprobs = null, max_tokens: maxTokens = 16 } = values;
  const { stream = false, stream_options: streamOptions, stop = [] } = values;
  if (streamOptions !== undefined && !stream) {
    throw invalid("stream_options", "stream_options is only for a request with stream true");
  }
  const { limits } = rules;
  requireRoom(numberOfPrompts(body.prompt), texts, limits);
  const tokens = readPromptField(
    body.prompt,
    rules,
    (length, i) => requireLength(length, maxTokens, i, limits),
  );
  return {
    prompts: tokens.map((tokens) => ({
      ...{ tokens, texts, maxTokens, scores: logprobs },
      temperature: values.temperature ?? 1,
      topP: values.top_p ?? 1,
      ...(values.top_k === undefined ? {} : { topK: values.top_k }),
      stop: typeof stop === "string" ? [stop] : stop,
      seed: values.seed ?? randomSeed(),
      scoresPrompt: echo && logprobs !== null,
    })),
    ...{ texts, echo, logprobs, stream },
    includeUsage: streamOptions?.include_usage ?? false,
    tokenIds: values.return_token_ids ?? false,
  };
}

/**
 * Throws unless a request names this server's model, or none.
 *
 * @param given The field `model`.
 * @param own The model's name.
 * @throws {ApiError} If it is another.
 */
export function requireModel(given: unknown, own: string): void {
  if (given === undefined || given === null || given === own) return;
  throw new ApiError(404, `There is no model ${shown(given)} here; this server has ${own}`, {
    param: "model",
    code: "model_not_found",
  });
}

/**
 * Throws if a text would be longer than the cache's rows.
 *
 * @param length Tokens of the prompt.
 * @param maxTokens Tokens to draw.
 * @param index The prompt's number.
 * @param limits What the server accepts.
 * @throws {ApiError} If it would.
 */
export function requireLength(
  length: number,
  maxTokens: number,
  index: number,
  { context }: Pick<ServeLimits, "context">,
): void {
  if (length + maxTokens <= context) return;
  const most = `the ${context} tokens that a text may have here`;
  const message = maxTokens === 0
    ? `Prompt ${index} has ${length} tokens, more than ${most}; shorten it`
    : `Prompt ${index} has ${length} tokens and max_tokens is ${maxTokens}, together more than ` +
      `${most}; shorten one of them`;
  throw invalid("prompt", message, "context_length_exceeded");
}

function requireRoom(prompts: number, texts: number, { rows, queue }: ServeLimits): void {
  if (texts > rows) {
    throw invalid("n", `n is ${texts}, expected at most ${rows}: as many texts grow at once here`);
  }
  if (prompts * texts <= rows + queue) return;
  throw invalid(
    "prompt",
    `${prompts} prompts with ${texts} texts each are more than the ${
      rows + queue
    } texts that this ` +
      `server holds; divide them among several requests`,
  );
}

/** How many prompts a field holds, before it is checked: encoding too many would take long. */
function numberOfPrompts(value: unknown): number {
  return Array.isArray(value) && typeof value[0] !== "number" ? value.length : 1;
}

function readFields(body: Readonly<Record<string, unknown>>): Values {
  const values: Record<string, unknown> = {};
  const given = Object.entries(body).filter(([, value]) => value !== null);
  for (const [name, value] of given) {
    if (!KNOWN.includes(name)) throw unknownField(name, KNOWN);
    if (!Object.hasOwn(FIELDS, name)) continue;
    const { schema, expected } = FIELDS[name as keyof typeof FIELDS];
    const { success, data } = schema.safeParse(value);
    if (!success) throw invalid(name, `${name} is ${shown(value)}, expected ${expected}`);
    values[name] = data;
  }
  for (const [name, value] of given) {
    if (!Object.hasOwn(NEUTRAL, name) || NEUTRAL[name]!(value, values)) continue;
    throw invalid(name, `${name} is not supported; leave it out`, "unsupported_parameter");
  }
  return values;
}

function invalid(param: string, message: string, code = "invalid_value"): ApiError {
  return new ApiError(400, message, { param, code });
}

function randomSeed(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number];
  return (high % 2 ** 21) * 2 ** 32 + low;
}
