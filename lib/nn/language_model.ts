/** A decoder-only language model of LLaMA blocks. @module */

import type { Device } from "../autograd/device.ts";
import { type CrossEntropy, crossEntropy } from "../autograd/cross_entropy.ts";
import { embedding } from "../autograd/embedding.ts";
import { rows } from "../autograd/layout.ts";
import type { Parameter } from "../autograd/parameter.ts";
import type { ForwardOptions } from "../moe/routing_context.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Real } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Decoder, tokenCount } from "./decoder.ts";
import { KeyValueCache, type ModelSizes } from "./key_value_cache.ts";
import { type LanguageModelOptions, modelSettings } from "./language_model_options.ts";
import { requireCacheFor } from "./layer_cache.ts";
import { type PlacedTokens, placedTokens, startsOf } from "./new_tokens.ts";
import { OutputHead } from "./output_head.ts";
import { packSequences, packTargets, tokenIds } from "./token_ids.ts";
import { type TokenScores, tokenScores } from "./token_scores.ts";

/**
 * Embedding, blocks, final norm and an output head, by default not tied to the embedding, as in the
 * paper's models.
 *
 * @example
 * ```ts
 * import { Device, FeedForward, LanguageModel } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using model = new LanguageModel(device, {
 *   vocabulary: 257,
 *   layers: 2,
 *   hidden: 32,
 *   heads: 4,
 *   feedForward: () => new FeedForward(device, { hidden: 32 }),
 * });
 * using tape = device.record();
 * const { loss } = model.loss(device.tokens([1, 2, 3, 4]), device.tokens([2, 3, 4, 5]), 4);
 * tape.backward(loss);
 * ```
 */
export class LanguageModel<R extends Real = "f32"> implements Disposable {
  readonly #decoder: Decoder<R>;
  readonly #head: OutputHead<R>;
  readonly #device: Device;
  readonly #cacheSizes: ModelSizes<R>;
  readonly #owned: DisposableStack;

  static {
    showsItself(LanguageModel, (model) =>
      describeLayer("LanguageModel", {
        vocabulary: model.vocabulary,
        ...model.#cacheSizes,
      }, model.parameters()));
  }

  /**
   * Creates a model with random weights.
   *
   * @param device The model's device.
   * @param options Sizes, initialisation, feed-forward layers.
   * @throws {ConfigError} If the size of a head is not an even integer, `groups` does not divide
   * `heads`, or a setting is out of range.
   */
  constructor(device: Device, options: LanguageModelOptions<R>) {
    const settings = modelSettings(options);
    const { vocabulary, layers, hidden, heads, groups, deviation, dtype } = settings;
    this.#device = device;
    const { headDim = hidden / heads, tied } = settings;
    this.#cacheSizes = { layers, groups, headDim, dtype };
    using made = new DisposableStack();
    this.#decoder = made.use(new Decoder<R>(device, settings));
    this.#head = made.use(
      tied ? OutputHead.tied<R>(this.#decoder.table, dtype) : OutputHead.make<R>(device, {
        ...{ input: hidden, output: vocabulary, deviation, dtype },
        name: "lm_head.weight",
      }),
    );
    this.#owned = made.move();
  }

  /** The type of the activations. */
  get dtype(): R {
    return this.#cacheSizes.dtype;
  }

  /** Number of tokens in the vocabulary. */
  get vocabulary(): number {
    return this.#head.vocabulary;
  }

  /**
   * Computes the cross-entropy of predicting each token's successor.
   *
   * @param tokens Whole sequences, one after the other.
   * @param targets The token that follows each; negative targets are ignored.
   * @param sequence Tokens of one sequence.
   * @param options Mode and step for routers that depend on them, and an observer of the routing.
   * @returns The mean loss and each token's loss, in nats.
   */
  loss<T extends number>(
    tokens: Tensor<"i32", readonly [T]>,
    targets: Tensor<"i32", readonly [NoInfer<T>]>,
    sequence: number,
    options: ForwardOptions = {},
  ): CrossEntropy<T> {
    return crossEntropy<T, number, number, R>(
      this.#decoder.states(tokens, sequence, options),
      this.#head.weight(),
      targets,
    );
  }

  /**
   * Computes the logits of every token's successor, which are fp32 whatever the model's type: bf16
   * would make many of them equal.
   *
   * @param tokens Whole sequences, one after the other.
   * @param sequence Tokens of one sequence.
   * @param options Mode and step for routers that depend on them, and an observer of the routing.
   * @returns `[T, vocabulary]`.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, FeedForward, LanguageModel } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * const sizes = { vocabulary: 10, layers: 1, hidden: 16, heads: 2 };
   * const feedForward = () => new FeedForward(device, { hidden: 16 });
   * using model = new LanguageModel(device, { ...sizes, feedForward });
   * using _scope = device.noGradient();
   * const logits = model.logits(device.tokens([1, 2, 3, 4]), 2); // two sequences of two tokens
   * assert(logits.shape.join() === "4,10");
   * ```
   */
  logits<T extends number>(
    tokens: Tensor<"i32", readonly [T]>,
    sequence: number,
    options: ForwardOptions = {},
  ): Tensor<"f32", readonly [T, number]> {
    return this.#head.logits(this.#decoder.states(tokens, sequence, options));
  }

  /**
   * Scores each token's successor, without holding its logits.
   *
   * @param tokens Whole sequences, one after the other.
   * @param targets The token that follows each; negative targets are not scored.
   * @param sequence Tokens of one sequence.
   * @param options Mode and step for routers that depend on them, and an observer of the routing.
   * @returns The score of each token's target. Its log-probability is the negative of its loss.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, FeedForward, LanguageModel, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * const sizes = { vocabulary: 10, layers: 1, hidden: 16, heads: 2 };
   * const feedForward = () => new FeedForward(device, { hidden: 16 });
   * using model = new LanguageModel(device, { ...sizes, feedForward });
   * using _scope = device.noGradient();
   * const scores = model.score(device.tokens([1, 2, 3]), device.tokens([2, 3, -1]), 3);
   * const greedy = await read(scores.greedy);
   * assert(greedy[0]! >= 0 && greedy[2] === -1);
   * ```
   */
  score<T extends number>(
    tokens: Tensor<"i32", readonly [T]>,
    targets: Tensor<"i32", readonly [NoInfer<T>]>,
    sequence: number,
    options: ForwardOptions = {},
  ): TokenScores<T> {
    return tokenScores<T, R>(
      this.#decoder.states(tokens, sequence, options),
      this.#head.weight(),
      targets,
    );
  }

  /**
   * Computes the logits of the token that follows a sequence, as generation does: a router that
   * routes prompts in a way of its own, such as Lory, does so here.
   *
   * @param tokens One sequence.
   * @returns `[1, vocabulary]`.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, FeedForward, LanguageModel } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * const sizes = { vocabulary: 10, layers: 1, hidden: 16, heads: 2 };
   * const feedForward = () => new FeedForward(device, { hidden: 16 });
   * using model = new LanguageModel(device, { ...sizes, feedForward });
   * using _scope = device.noGradient();
   * assert(model.nextLogits(device.tokens([1, 2, 3])).shape.join() === "1,10");
   * ```
   */
  nextLogits(tokens: Tensor<"i32", readonly [number]>): Tensor<"f32", readonly [number, number]> {
    const count = tokenCount(tokens);
    const prompt = { rows: [0], lengths: [0], counts: [count], scored: false };
    const states = this.#decoder.states(tokens, count, {}, prompt);
    const last = rows<readonly [number], R>(states, count - 1, count);
    return this.#head.logits(last);
  }

  /**
   * Creates an empty cache that fits this model.
   *
   * @param batch Number of sequences.
   * @param capacity Maximum tokens per sequence.
   * @returns The cache; dispose of it to free its memory.
   * @throws {ConfigError} If a size is below 1.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, FeedForward, LanguageModel } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * const sizes = { vocabulary: 10, layers: 1, hidden: 16, heads: 2 };
   * const feedForward = () => new FeedForward(device, { hidden: 16 });
   * using model = new LanguageModel(device, { ...sizes, feedForward });
   * using cache = model.openCache(2, 64);
   * assert(cache.batch === 2 && cache.capacity === 64);
   * ```
   */
  openCache(batch: number, capacity: number): KeyValueCache<R> {
    return new KeyValueCache<R>(this.#device, { ...this.#cacheSizes, batch, capacity });
  }

  /**
   * Runs the model on prompts and stores their keys and values in a cache, replacing its contents.
   * Invalid arguments leave the cache unchanged, any other failure leaves it empty. Run it without
   * a tape.
   *
   * @param sequences Token ids of each sequence, at least one per sequence; lengths may differ.
   * @param cache A cache for the same number of sequences.
   * @returns The logits of each sequence's next token `[batch, vocabulary]`.
   * @throws {RangeError} If the cache is for another number of sequences or too short, a sequence
   * is empty, or a token is outside the vocabulary.
   * @throws {ConfigError} If the cache is for a model of other sizes.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, FeedForward, LanguageModel } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * const sizes = { vocabulary: 10, layers: 1, hidden: 16, heads: 2 };
   * const feedForward = () => new FeedForward(device, { hidden: 16 });
   * using model = new LanguageModel(device, { ...sizes, feedForward });
   * using cache = model.openCache(2, 8);
   * using _scope = device.noGradient();
   * const logits = model.prefill([[1, 2, 3], [4]], cache);
   * assert(logits.shape.join() === "2,10" && cache.lengths.join() === "3,1");
   * ```
   */
  prefill(
    sequences: readonly (readonly number[])[],
    cache: KeyValueCache<R>,
  ): Tensor<"f32", readonly [number, number]> {
    requireCacheFor("read sequences", this.#cacheSizes, cache);
    const { ids, counts } = packSequences(sequences, this.vocabulary, cache);
    cache.setLengths(new Array(cache.batch).fill(0));
    return this.#extend(ids, placedTokens("read sequences", { counts }, cache.batch), cache);
  }

  /**
   * Runs the model on one more token per sequence. On failure the cache keeps the tokens it had.
   * Run it without a tape.
   *
   * @param tokens One token id per sequence.
   * @param cache A cache filled by {@linkcode LanguageModel.prefill}.
   * @returns The logits of each sequence's next token `[batch, vocabulary]`.
   * @throws {RangeError} If the cache is full or for another number of sequences, or a token is
   * outside the vocabulary.
   * @throws {ConfigError} If the cache is for a model of other sizes.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, FeedForward, LanguageModel } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * const sizes = { vocabulary: 10, layers: 1, hidden: 16, heads: 2 };
   * const feedForward = () => new FeedForward(device, { hidden: 16 });
   * using model = new LanguageModel(device, { ...sizes, feedForward });
   * using cache = model.openCache(1, 8);
   * using _scope = device.noGradient();
   * model.prefill([[1, 2, 3]], cache);
   * assert(model.decode([4], cache).shape.join() === "1,10");
   * ```
   */
  decode(
    tokens: readonly number[],
    cache: KeyValueCache<R>,
  ): Tensor<"f32", readonly [number, number]> {
    requireCacheFor("add tokens", this.#cacheSizes, cache);
    const ids = tokenIds("add tokens", tokens, this.vocabulary);
    if (ids.length !== cache.batch) {
      throw new RangeError(
        `Cannot add ${ids.length} tokens to a cache for ${cache.batch} sequences: give one each`,
      );
    }
    cache.requireRoom();
    return this.#extend(ids, placedTokens("add tokens", {}, cache.batch), cache);
  }

  /**
   * Runs the model on new tokens of some sequences: one or more for each, in one pass, without
   * padding. Sequences without tokens begin thereby; others are continued, to logits equal to those
   * of the whole sequence but for roundings, however it was divided. On failure the cache keeps the
   * tokens it had. Run it without a tape.
   *
   * Each token's result depends only on its own sequence, except through rounding in products of
   * another size, and except with routers that decide over a batch. A router that decides by the
   * prompt, Lory, takes the tokens with which a sequence begins for its prompt, and then one token
   * at a time.
   *
   * @param sequences The new token ids of each sequence, at least one; numbers may differ.
   * @param cache A cache of this model.
   * @param rows The row of each sequence, all different. Default all rows.
   * @returns The logits of each sequence's next token `[sequences.length, vocabulary]`.
   * @throws {RangeError} If there is no such row or no room in it, there is not one sequence for
   * each, a sequence is empty, or a token is outside the vocabulary.
   * @throws {ConfigError} If the cache is for a model of other sizes, or a router cannot route the
   * tokens without others.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, FeedForward, LanguageModel } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * const sizes = { vocabulary: 10, layers: 1, hidden: 16, heads: 2 };
   * const feedForward = () => new FeedForward(device, { hidden: 16 });
   * using model = new LanguageModel(device, { ...sizes, feedForward });
   * using cache = model.openCache(3, 8);
   * using _scope = device.noGradient();
   * model.extend([[1, 2, 3]], cache, [2]); // a sequence begins in row 2
   * const logits = model.extend([[4, 5], [6]], cache, [2, 0]); // and goes on beside another
   * assert(logits.shape.join() === "2,10" && cache.lengths.join() === "1,0,5");
   * ```
   */
  extend(
    sequences: readonly (readonly number[])[],
    cache: KeyValueCache<R>,
    rows?: readonly number[],
  ): Tensor<"f32", readonly [number, number]> {
    const { ids, placed } = this.#placed(sequences, cache, rows);
    return this.#extend(ids, placed, cache);
  }

  /**
   * Runs the model on new tokens as {@linkcode LanguageModel.extend} does, and scores what follows
   * each of them, without holding its logits.
   *
   * @param sequences The new token ids of each sequence, at least one; numbers may differ.
   * @param targets The token that follows each; negative targets are not scored, at no cost.
   * @param cache A cache of this model.
   * @param rows The row of each sequence, all different. Default all rows.
   * @returns The score of each new token's target, one sequence after the other.
   * @throws {RangeError} As `extend` does, or if there is not one target per token, or one is
   * outside the vocabulary.
   * @throws {ConfigError} As `extend` does.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, FeedForward, LanguageModel, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * const sizes = { vocabulary: 10, layers: 1, hidden: 16, heads: 2 };
   * const feedForward = () => new FeedForward(device, { hidden: 16 });
   * using model = new LanguageModel(device, { ...sizes, feedForward });
   * using cache = model.openCache(2, 8);
   * using _scope = device.noGradient();
   * // How likely 7 8 and 9 are after 1 2 3, which is computed once.
   * model.extend([[1, 2]], cache, [0]);
   * cache.copyRows([0], [1]);
   * const { logProbability } = model.scoreExtension([[3, 7], [3]], [[7, 8], [9]], cache);
   * assert((await read(logProbability)).every((score) => score < 0));
   * ```
   */
  scoreExtension(
    sequences: readonly (readonly number[])[],
    targets: readonly (readonly number[])[],
    cache: KeyValueCache<R>,
    rows?: readonly number[],
  ): TokenScores {
    const { ids, placed } = this.#placed(sequences, cache, rows);
    const next = packTargets(targets, this.vocabulary, placed.counts);
    const states = this.#newStates(ids, placed, cache, true);
    const listed = [...next.keys()].filter((i) => next[i]! >= 0);
    const scores = tokenScores<number, R>(
      states,
      this.#head.weight(),
      this.#device.tokens(next.map((target) => Math.max(target, -1))),
      listed.length === next.length || listed.length === 0 ? undefined : listed,
    );
    this.#grow(cache, placed);
    return scores;
  }

  /** Checks new tokens of some rows of a cache. */
  #placed(
    sequences: readonly (readonly number[])[],
    cache: KeyValueCache<R>,
    rows?: readonly number[],
  ): { readonly ids: readonly number[]; readonly placed: PlacedTokens } {
    const operation = "extend sequences";
    requireCacheFor(operation, this.#cacheSizes, cache);
    const { batch, capacity } = cache;
    const chosen = placedTokens(operation, { rows }, batch).rows;
    const { ids, counts } = packSequences(sequences, this.vocabulary, {
      ...{ batch: chosen.length, capacity },
    });
    const placed = placedTokens(operation, { rows: chosen, counts }, batch);
    cache.requireRoom({ rows: chosen, counts });
    return { ids, placed };
  }

  /** The logits after the last new token of each row. */
  #extend(
    ids: readonly number[],
    placed: PlacedTokens,
    cache: KeyValueCache<R>,
  ): Tensor<"f32", readonly [number, number]> {
    const states = this.#newStates(ids, placed, cache, false);
    const { counts, total } = placed;
    const last = startsOf(counts).slice(1).map((end) => end - 1);
    const final = total === counts.length
      ? states
      : embedding<number, number, number, R>(states, this.#device.tokens(last));
    const logits = this.#head.logits(final);
    this.#grow(cache, placed);
    return logits;
  }

  /** The states of new tokens, whose keys and values are written behind those that rows have. */
  #newStates(
    ids: readonly number[],
    { rows, counts }: PlacedTokens,
    cache: KeyValueCache<R>,
    scored: boolean,
  ): Tensor<R, readonly [number, number]> {
    const { lengths } = cache;
    const [count = 1] = counts;
    const sequence = counts.every((each) => each === count) ? count : 1;
    return this.#decoder.states(this.#device.tokens(ids), sequence, {}, {
      ...{ cache, rows, counts, scored },
      lengths: rows.map((row) => lengths[row]!),
    });
  }

  /** Counts new tokens, once all layers hold them. */
  #grow(cache: KeyValueCache<R>, { rows, counts }: PlacedTokens): void {
    const lengths = cache.lengths.slice();
    for (const [i, row] of rows.entries()) lengths[row]! += counts[i]!;
    cache.setLengths(lengths);
  }

  /**
   * The trainable parameters, in the order of the layers.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield* this.#decoder.parameters();
    yield* this.#head.parameters();
  }

  /**
   * The tensors saved with the weights but not trained, in the order of the layers.
   *
   * @returns The tensors, always in the same order.
   */
  buffers(): Iterable<Parameter> {
    return this.#decoder.buffers();
  }

  /** Frees all weights. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
