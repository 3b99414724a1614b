/** The embedding layer. @module */

import { requireOptions } from "../arguments.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { embedding } from "../autograd/embedding.ts";
import { fillNormal } from "../autograd/made_tensors.ts";
import { type Parameter, ParameterTensor } from "../autograd/parameter.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Settings of {@linkcode Embedding}. */
export interface EmbeddingOptions {
  /** Number of tokens in the vocabulary. */
  vocabulary: number;
  /** Size of a hidden state. */
  hidden: number;
  /** Standard deviation of the initial weights. Default 0.02. */
  deviation?: number;
  /** Name of the weight in checkpoints. Default `embed_tokens.weight`. */
  name?: string;
}

/**
 * A lookup table with one row per token of the vocabulary.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, Embedding } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using layer = new Embedding(device, { vocabulary: 257, hidden: 8 });
 * assert(layer.forward(device.tokens([104, 105])).shape[0] === 2);
 * ```
 */
export class Embedding implements Disposable {
  readonly #table: ParameterTensor<readonly [number, number]>;

  static {
    showsItself(
      Embedding,
      (layer) =>
        describeLayer("Embedding", {
          vocabulary: layer.#table.shape[0],
          hidden: layer.#table.shape[1],
        }, layer.parameters()),
    );
  }

  /**
   * Creates a table with random rows.
   *
   * @param device The layer's device.
   * @param options Sizes and initialisation.
   */
  constructor(device: Device, options: EmbeddingOptions) {
    requireOptions("build an embedding", options, {
      vocabulary: true,
      hidden: true,
      deviation: true,
      name: true,
    });
    const { vocabulary, hidden, deviation = 0.02, name = "embed_tokens.weight" } = options;
    requireSizes("build an embedding", { vocabulary, hidden });
    requireNumbers("build an embedding", { deviation }, { least: 0 });
    this.#table = ParameterTensor.make(memoryOf(device), name, [vocabulary, hidden], true);
    fillNormal(this.#table, 0, deviation);
  }

  /**
   * Looks up tokens.
   *
   * @param tokens Ids `[T]` from 0 to vocabulary - 1.
   * @returns Rows `[T, hidden]`.
   * @throws {DeviceError} If a token is outside the vocabulary.
   */
  forward<T extends number>(
    tokens: Tensor<"i32", readonly [T]>,
  ): Tensor<"f32", readonly [T, number]> {
    return embedding(this.#table as Tensor<"f32", readonly [number, number]>, tokens);
  }

  /**
   * The trainable parameters: the table.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield this.#table;
  }

  /** Frees the table. */
  [Symbol.dispose](): void {
    this.#table[Symbol.dispose]();
  }
}
