import { LARGEST_SIZE, type OptionNames, requireOptions } from "../arguments.ts";
import { requireSizes } from "../settings.ts";
import { largest } from "../extremes.ts";
import type { Device } from "../autograd/device.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { ConfigError, DeviceError } from "../errors.ts";
import { Status } from "../ffi/codes.ts";
import type { KeyValueCache } from "../nn/key_value_cache.ts";
import type { LanguageModel } from "../nn/language_model.ts";
import type { Real } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { read } from "../tensor/transfer.ts";
import { type DrawOptions, drawProblem } from "./draw_token.ts";
import { type FinishReason, GrowingText } from "./growing_text.ts";
import { LogitsError } from "./logits_error.ts";

/** Settings of {@linkcode generate}. */
export interface GenerateOptions extends DrawOptions {
  /** The model's device. */
  readonly device: Device;
  /** The model. */
  readonly model: LanguageModel<Real>;
  /** The tokenizer it was trained with. */
  readonly tokenizer: Tokenizer;
  /** Maximum number of tokens to draw per prompt. */
  readonly tokens: number;
  /** Strings that end a text, which does not include them. */
  readonly stop?: readonly string[];
  /** Seed of the draws. Default 0. */
  readonly seed?: number;
  /** Separates draws with the same seed, such as those of different training steps. Default 0. */
  readonly stream?: number;
  /** Ends the texts after the current token. */
  readonly signal?: AbortSignal;
}

/** The next piece of a text. */
export interface GeneratedPiece {
  /** Index of the prompt it continues. */
  readonly prompt: number;
  /** The text; empty if the token does not complete a character. */
  readonly text: string;
  /** Tokens drawn for this prompt so far. */
  readonly tokens: number;
  /** Why the text ends with this piece; null if it continues. */
  readonly finish: FinishReason | null;
}

/** Operation named by the error when `tokens` does not fit into memory. */
export const ROOM = "make room for texts";

/** Largest batch of prompts: beyond it tokens get no cheaper and only memory grows. */
const MOST_AT_ONCE = 256;

/**
 * Continues prompts in batches of up to 256, one token per prompt and step.
 *
 * Each prompt is preceded by the end-of-document token, as documents are in training, or by the
 * tokenizer's own token for the beginning, so an empty prompt starts a new document. Draws depend only on the seed, the stream and the token's position:
 * a text does not depend on the other prompts, except through rounding in products of another size.
 *
 * @param prompts The texts to continue.
 * @param options Model, tokenizer and how to draw.
 * @returns Pieces of the texts as they are drawn, without the prompts.
 * @throws {ConfigError} If an option is out of range.
 * @throws {DeviceError} If that many tokens do not fit into memory; says how many.
 * @throws {LogitsError} If no token can be drawn from the logits; names the prompt and the token.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, FeedForward, LanguageModel } from "@remoe/remoe";
 * import { openTokenizer } from "@remoe/remoe/data";
 * import { generate } from "@remoe/remoe/generate";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const tokenizer = await openTokenizer("byte");
 * using model = new LanguageModel(device, {
 *   vocabulary: tokenizer.vocabularySize,
 *   layers: 2,
 *   hidden: 16,
 *   heads: 2,
 *   feedForward: () => new FeedForward(device, { hidden: 16 }),
 * });
 * let text = "";
 * const options = { device, model, tokenizer, tokens: 20, topK: 40 };
 * for await (const piece of generate(["Once"], options)) {
 *   text += piece.text;
 * }
 * assert(text.length > 0);
 * ```
 */
export async function* generate(
  prompts: readonly string[],
  options: GenerateOptions,
): AsyncGenerator<GeneratedPiece, void> {
  checkOptions(prompts, options);
  const own = asGiven(options);
  const texts = prompts.map((prompt, i) => new Text(i, prompt, own));
  for (let from = 0; from < texts.length; from += MOST_AT_ONCE) {
    if (from > 0 && own.signal?.aborted) return;
    yield* continueTexts(texts.slice(from, from + MOST_AT_ONCE), own);
  }
}

/** Copies the options and fills in defaults: the caller may change the object between pieces. */
function asGiven(options: GenerateOptions): GenerateOptions {
  const { device, model, tokenizer, tokens, stop = [], seed = 0, stream = 0, signal } = options;
  const { temperature = 1, topK = tokenizer.vocabularySize, topP = 1 } = options;
  return {
    ...{ device, model, tokenizer, tokens, seed, stream, temperature, topK, topP },
    stop: [...stop],
    ...(signal == null ? {} : { signal }),
  };
}

async function* continueTexts(
  texts: readonly Text[],
  { device, model, tokenizer, tokens, signal }: GenerateOptions,
): AsyncGenerator<GeneratedPiece, void> {
  const longest = largest(texts.map(({ start }) => start.length));
  using cache = roomFor(model, texts.length, longest, tokens);
  let logits = await readRows(device, () => model.prefill(texts.map(({ start }) => start), cache));
  for (let drawn = 0; drawn < tokens; drawn++) {
    const last: number[] = [];
    for (const [i, text] of texts.entries()) {
      const token = text.isDone ? tokenizer.endOfDocument : text.draw(logits[i]!);
      last.push(token);
      const piece = text.next(token, drawn + 1 === tokens || signal?.aborted === true);
      if (piece !== null) yield piece;
    }
    if (texts.every(({ isDone }) => isDone)) return;
    logits = await readRows(device, () => model.decode(last, cache));
  }
}

/** Opens a cache for all that may be drawn, so that too much fails before the first token. */
function roomFor(
  model: LanguageModel<Real>,
  texts: number,
  longest: number,
  tokens: number,
): KeyValueCache<Real> {
  const capacity = longest + tokens;
  if (capacity > LARGEST_SIZE) {
    throw new ConfigError(
      `Cannot generate: tokens is ${tokens}, expected at most ${LARGEST_SIZE - longest} after a ` +
        `prompt of ${longest}`,
    );
  }
  try {
    return model.openCache(texts, capacity);
  } catch (cause) {
    if (!(cause instanceof DeviceError) || cause.status !== Status.outOfMemory) throw cause;
    const { status } = cause;
    throw new DeviceError(
      `Cannot generate: tokens is ${tokens}, and there is no memory for texts of up to ` +
        `${capacity} tokens, ${texts} at once; ask for fewer tokens (${cause.message})`,
      { status, operation: ROOM, cause },
    );
  }
}

/** A prompt and the text that continues it. */
class Text {
  /** The tokens of the prompt. */
  readonly start: readonly number[];
  readonly #index: number;
  readonly #growing: GrowingText;

  constructor(index: number, prompt: string, options: GenerateOptions) {
    const { tokenizer: { endOfDocument, beginOfDocument = endOfDocument } } = options;
    this.start = [beginOfDocument, ...options.tokenizer.encode(prompt)];
    this.#index = index;
    this.#growing = new GrowingText(options);
  }

  get isDone(): boolean {
    return this.#growing.isDone;
  }

  draw(logits: Float32Array): number {
    try {
      return this.#growing.draw(logits);
    } catch (cause) {
      if (!(cause instanceof LogitsError)) throw cause;
      const { tokens } = this.#growing;
      throw new LogitsError(
        `Cannot generate token ${tokens + 1} of prompt ${this.#index + 1}: ${cause.message}; the ` +
          `model's weights are damaged or too large, use an earlier checkpoint`,
        { cause },
      );
    }
  }

  /** Appends a token; null if the text is already done. */
  next(token: number, isLast: boolean): GeneratedPiece | null {
    if (this.isDone) return null;
    const { text, finish } = this.#growing.push(token, isLast);
    return { prompt: this.#index, text, tokens: this.#growing.tokens, finish };
  }
}

/** Computes logits without a tape and reads their rows. */
async function readRows(
  device: Device,
  compute: () => Tensor<"f32", readonly [number, number]>,
): Promise<Float32Array[]> {
  const { shape: [rows, columns], reading } = beginReading(device, compute);
  const values = await reading;
  return Array.from(
    { length: rows },
    (_, row) => values.subarray(row * columns, (row + 1) * columns),
  );
}

/** Closes its scope before the read is awaited: other code may use scopes in the meantime. */
function beginReading(device: Device, compute: () => Tensor<"f32", readonly [number, number]>) {
  using _scope = device.noGradient();
  const tensor = compute();
  return { shape: tensor.shape, reading: read(tensor) };
}

/** The options, plus what openModel() also returns, so that its result can be spread. */
const OPTION_NAMES: OptionNames<GenerateOptions & Record<"config" | "step" | "textHash", unknown>> =
  {
    ...{ device: true, model: true, tokenizer: true, tokens: true },
    ...{ config: true, step: true, textHash: true },
    ...{ stop: true, seed: true, stream: true, signal: true },
    ...{ temperature: true, topK: true, topP: true },
  };

function checkOptions(prompts: readonly string[], options: GenerateOptions): void {
  requireOptions("generate", options, OPTION_NAMES);
  const { tokens, stop = [], seed = 0, stream = 0, device, model, tokenizer, signal } = options;
  const require = (holds: boolean, what: string): void => {
    if (!holds) throw new ConfigError(`Cannot generate: ${what}`);
  };
  const isWhole = (value: number, least: number, most: number): boolean =>
    Number.isSafeInteger(value) && value >= least && value <= most;
  const areTexts = (value: unknown): boolean =>
    Array.isArray(value) && Array.from(value).every((each) => typeof each === "string");
  require(typeof device?.noGradient === "function", "device is not a Device");
  require(typeof model?.openCache === "function", "model is not a LanguageModel");
  require(typeof tokenizer?.encode === "function", "tokenizer is not a Tokenizer");
  require(areTexts(prompts), "prompts is not a list of texts");
  require(prompts.length > 0, "there is no prompt");
  requireSizes("generate", { tokens });
  const problem = drawProblem(options);
  require(problem === null, problem ?? "");
  require(
    isWhole(seed, 0, Number.MAX_SAFE_INTEGER),
    `seed is ${seed}, expected a whole number from 0 to 2^53 - 1`,
  );
  require(
    isWhole(stream, 0, 2 ** 32 - 1),
    `stream is ${stream}, expected a whole number from 0 to 2^32 - 1`,
  );
  require(areTexts(stop), "stop is not a list of texts");
  require(!stop.includes(""), "a stop string is empty");
  for (const [what, texts] of [["prompt", prompts], ["stop string", stop]] as const) {
    const broken = texts.findIndex((text) => !text.isWellFormed());
    const problem = `${what} ${broken + 1} holds half a surrogate pair, which UTF-8 cannot hold`;
    require(broken < 0, problem);
  }
  require(
    (signal ?? null) === null || signal instanceof AbortSignal,
    "signal is not an AbortSignal",
  );
  require(
    model.vocabulary >= tokenizer.vocabularySize,
    `the model knows ${model.vocabulary} tokens, fewer than the tokenizer ${tokenizer.name}`,
  );
}
