/** The projection of hidden states to queries, keys and values, ready to be rotated. @module */

import { add } from "../autograd/arithmetic.ts";
import { clamp } from "../autograd/clamp.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { type Parameter, ParameterTensor } from "../autograd/parameter.ts";
import { queryKeyNorm } from "../autograd/query_key_norm.ts";
import type { Real } from "../tensor/dtype.ts";
import { unwrapped } from "../tensor/operands.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { fill } from "../tensor/transfer.ts";
import { Linear } from "./linear.ts";
import type { QkvSettings } from "./qkv_options.ts";

/** Checked sizes and settings of a {@linkcode QkvProjection}. */
export interface QkvProjectionOptions<R extends Real> extends QkvSettings {
  readonly hidden: number;
  readonly heads: number;
  readonly groups: number;
  readonly deviation: number;
  /** Epsilon of the norms. */
  readonly normEpsilon: number;
  /** Prefix of the weights' names. */
  readonly name: string;
  readonly dtype: R;
}

/** The norms' scales. */
interface Scales {
  readonly query: ParameterTensor<readonly [number]>;
  readonly key: ParameterTensor<readonly [number]>;
}

/** Product, bias, norms and limit, in this order, as in transformers; the last three if wanted. */
export class QkvProjection<R extends Real> implements Disposable {
  readonly #options: QkvProjectionOptions<R>;
  readonly #product: Linear<number, number, R>;
  readonly #bias: ParameterTensor<readonly [number]> | null;
  readonly #scales: Scales | null;
  readonly #owned: DisposableStack;

  /** Creates a projection with random weights, biases of 0 and scales of 1. */
  constructor(device: Device, options: QkvProjectionOptions<R>) {
    const { hidden, heads, groups, headDim, deviation, name, dtype } = options;
    this.#options = options;
    const columns = (heads + 2 * groups) * headDim;
    using made = new DisposableStack();
    this.#product = made.use(
      new Linear<number, number, R>(device, {
        ...{ dtype, input: hidden, output: columns, deviation },
        name: `${name}.qkv_proj.weight`,
      }),
    );
    const vector = (part: string, size: number, value: number, readAs: Real) => {
      const memory = memoryOf(device);
      const parameter = ParameterTensor.make(memory, `${name}.${part}`, [size], false, readAs);
      fill(made.use(parameter), value);
      return parameter;
    };
    this.#bias = options.qkvBias ? vector("qkv_proj.bias", columns, 0, dtype) : null;
    const widths = {
      none: null,
      full: [heads * headDim, groups * headDim],
      head: [headDim, headDim],
    };
    const sizes = widths[options.qkNorm];
    this.#scales = sizes === null ? null : {
      query: vector("q_norm.weight", sizes[0]!, 1, "f32"),
      key: vector("k_norm.weight", sizes[1]!, 1, "f32"),
    };
    this.#owned = made.move();
  }

  /** Projects `[T, hidden]` to `[T, (heads + 2 · groups) · headDim]`, which nothing else reads. */
  forward<T extends number>(
    x: Tensor<R, readonly [T, number]>,
  ): Tensor<R, readonly [T, number]> {
    const { heads, groups, headDim, normEpsilon: epsilon, clipQkv, dtype } = this.#options;
    let qkv = this.#product.forward(x);
    if (this.#bias !== null) qkv = add<R, T, number>(qkv, this.#bias.readAs(dtype));
    if (this.#scales !== null) {
      const { query: queryScale, key: keyScale } = this.#scales;
      const sizes = { heads, groups, headDim, queryScale, keyScale, epsilon };
      qkv = queryKeyNorm<R, T>(unwrapped(qkv), sizes);
    }
    return clipQkv === Infinity ? qkv : clamp(qkv, clipQkv);
  }

  /** Weights, bias and scales, as far as it has them. */
  *parameters(): Iterable<Parameter> {
    yield* this.#product.parameters();
    if (this.#bias !== null) yield this.#bias;
    if (this.#scales !== null) yield* [this.#scales.query, this.#scales.key];
  }

  /** Frees the weights. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
