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
import { OutputHead } from "./output_head.ts";
import { padSequences, tokenIds } from "./token_ids.ts";

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
    const states = this.#decoder.states(tokens, count, {}, { isPrefill: true, lengths: [count] });
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
    const { ids, lengths, longest } = padSequences(sequences, this.vocabulary, cache);
    cache.setLengths(lengths.map(() => 0));
    const states = this.#decoder.states(this.#device.tokens(ids), longest, {}, {
      ...{ cache, lengths },
      isPrefill: true,
    });
    const last = lengths.map((length, b) => b * longest + length - 1);
    const final = embedding<number, number, number, R>(states, this.#device.tokens(last));
    const logits = this.#head.logits(final);
    cache.setLengths(lengths);
    return logits;
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
    const states = this.#decoder.states(this.#device.tokens(ids), 1, {}, {
      ...{ cache, lengths: cache.lengths },
      isPrefill: false,
    });
    const logits = this.#head.logits(states);
    cache.setLengths(cache.lengths.map((length) => length + 1));
    return logits;
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
