/** The output head: a projection of its own, or the embedding's table. @module */

import type { Device } from "../autograd/device.ts";
import { product } from "../autograd/matmul.ts";
import { type Parameter, readAs } from "../autograd/parameter.ts";
import { headOf, tiedLogits } from "../autograd/tied_head.ts";
import type { Real } from "../tensor/dtype.ts";
import { realOperand } from "../tensor/operands.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { Linear, type LinearOptions } from "./linear.ts";

/** Maps final hidden states to logits. */
export class OutputHead<R extends Real> implements Disposable {
  readonly #own: Linear<number, number, R> | null;
  readonly #table: Parameter<readonly [number, number]> | null;
  readonly #dtype: R;

  private constructor(
    own: Linear<number, number, R> | null,
    table: Parameter<readonly [number, number]> | null,
    dtype: R,
  ) {
    this.#own = own;
    this.#table = table;
    this.#dtype = dtype;
  }

  /** A head with random weights. */
  static make<R extends Real>(
    device: Device,
    options: LinearOptions<number, number, R> & { readonly dtype: R },
  ): OutputHead<R> {
    return new OutputHead<R>(new Linear<number, number, R>(device, options), null, options.dtype);
  }

  /** A head that reads an embedding's table `[vocabulary, hidden]`, which takes both gradients. */
  static tied<R extends Real>(
    table: Parameter<readonly [number, number]>,
    dtype: R,
  ): OutputHead<R> {
    return new OutputHead<R>(null, table, dtype);
  }

  /** Number of tokens in the vocabulary. */
  get vocabulary(): number {
    return this.#own?.weight.shape[1] ?? this.#table!.shape[0];
  }

  /** The weights `[hidden, vocabulary]`, as products read them; of a tied head a copy. */
  weight(): DeviceTensor<R, readonly [number, number]> {
    return this.#own === null
      ? headOf(readAs(this.#table!, this.#dtype))
      : readAs(this.#own.weight, this.#dtype);
  }

  /** The head's products, rounded to fp32 alone. */
  logits<T extends number>(
    states: Tensor<R, readonly [T, number]>,
  ): Tensor<"f32", readonly [T, number]> {
    const x = realOperand("compute the logits of", states);
    const logits = this.#own === null
      ? tiedLogits<R>(x, readAs(this.#table!, this.#dtype))
      : product(x, readAs(this.#own.weight, this.#dtype), "f32");
    return logits as Tensor<"f32"> as Tensor<"f32", readonly [T, number]>;
  }

  /** The weights; none of a tied head, whose table is the embedding's. */
  *parameters(): Iterable<Parameter> {
    if (this.#own !== null) yield* this.#own.parameters();
  }

  /** Frees the weights, not the embedding's. */
  [Symbol.dispose](): void {
    this.#own?.[Symbol.dispose]();
  }
}
