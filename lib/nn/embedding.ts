/** The embedding layer. @module */

import { requireOptions } from "../arguments.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { computeType } from "../autograd/compute_type.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { embedding } from "../autograd/embedding.ts";
import { fillNormal } from "../autograd/made_tensors.ts";
import { type Parameter, ParameterTensor } from "../autograd/parameter.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Real } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Settings of {@linkcode Embedding}. */
export interface EmbeddingOptions<R extends Real = "f32"> {
  /** Number of tokens in the vocabulary. */
  vocabulary: number;
  /** Size of a hidden state. */
  hidden: number;
  /** Standard deviation of the initial weights. Default 0.02. */
  deviation?: number;
  /** Name of the weight in checkpoints. Default `embed_tokens.weight`. */
  name?: string;
  /** The type of the rows it gives; the table is kept in fp32 besides. Default `f32`. */
  dtype?: R;
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
export class Embedding<R extends Real = "f32"> implements Disposable {
  readonly #dtype: R;
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
  constructor(device: Device, options: EmbeddingOptions<R>) {
    requireOptions("build an embedding", options, {
      vocabulary: true,
      hidden: true,
      deviation: true,
      name: true,
      dtype: true,
    });
    const { vocabulary, hidden, deviation = 0.02, name = "embed_tokens.weight" } = options;
    requireSizes("build an embedding", { vocabulary, hidden });
    requireNumbers("build an embedding", { deviation }, { least: 0 });
    const dtype = computeType("build an embedding", options.dtype);
    this.#dtype = dtype;
    const shape = [vocabulary, hidden] as const;
    this.#table = ParameterTensor.make(memoryOf(device), name, shape, true, dtype);
    fillNormal(this.#table, 0, deviation);
  }

  /** The table `[vocabulary, hidden]`, in fp32 whatever type its rows are given in. */
  get table(): Parameter<readonly [number, number]> {
    return this.#table;
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
  ): Tensor<R, readonly [T, number]> {
    return embedding<number, number, T, R>(this.#table.readAs(this.#dtype), tokens);
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
