/** Embedding, blocks and final norm of a language model. @module */

import { requireWhole, shown } from "../arguments.ts";
import type { Device } from "../autograd/device.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { ShapeMismatchError } from "../errors.ts";
import {
  forwardContext,
  type ForwardOptions,
  type GenerationContext,
} from "../moe/routing_context.ts";
import type { Real } from "../tensor/dtype.ts";
import { i32, operands } from "../tensor/operands.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Embedding } from "./embedding.ts";
import type { ModelSettings } from "./language_model_options.ts";
import { routerMemoryOf } from "./key_value_cache.ts";
import type { KeyValueCache } from "./key_value_cache.ts";
import type { LayerCache } from "./layer_cache.ts";
import type { PlacedTokens } from "./new_tokens.ts";
import { RmsNorm } from "./rms_norm.ts";
import { requireFeedForward, TransformerBlock } from "./transformer_block.ts";

/** Sequences being generated. */
export interface GeneratedTokens<R extends Real>
  extends Omit<GenerationContext, "memory">, Pick<PlacedTokens, "rows"> {
  /** Their cache; undefined where only the next token is wanted. */
  readonly cache?: KeyValueCache<R>;
}

/** A language model without its head: tokens in, hidden states out. */
export class Decoder<R extends Real> implements Disposable {
  readonly #embedding: Embedding<R>;
  readonly #blocks: readonly TransformerBlock<R>[];
  readonly #norm: RmsNorm;
  readonly #owned: DisposableStack;

  /** Creates a decoder with random weights. */
  constructor(device: Device, settings: ModelSettings<R>) {
    const { vocabulary, layers, hidden, deviation, dtype, normEpsilon = 1e-5 } = settings;
    using made = new DisposableStack();
    this.#embedding = made.use(
      new Embedding<R>(device, {
        ...{ vocabulary, hidden, deviation, dtype },
        name: "model.embed_tokens.weight",
      }),
    );
    this.#blocks = Array.from(
      { length: layers },
      (_, layer) => made.use(makeBlock(device, settings, layer)),
    );
    this.#norm = made.use(
      new RmsNorm(device, { hidden, epsilon: normEpsilon, name: "model.norm.weight" }),
    );
    this.#owned = made.move();
  }

  /** The embedding's table, `[vocabulary, hidden]`. */
  get table(): Parameter<readonly [number, number]> {
    return this.#embedding.table;
  }

  /** Computes the normalised final hidden states of whole sequences, one after the other. */
  states<T extends number>(
    tokens: Tensor<"i32", readonly [T]>,
    sequence: number,
    options: ForwardOptions = {},
    generated?: GeneratedTokens<R>,
  ): Tensor<R, readonly [T, number]> {
    const count = tokenCount(tokens);
    requireWhole("run a language model", "sequence", sequence, { least: 1 });
    if (count % sequence !== 0) {
      throw new ShapeMismatchError(
        `Cannot run a language model on tokens of shape ${showShape(tokens.shape)}: ` +
          `it needs whole sequences of ${sequence}, one after the other`,
      );
    }
    const [{ memory }] = operands("run a language model on", i32(tokens));
    const context = {
      ...forwardContext("run a language model", options, memory.isRecording),
      tokens,
    };
    let x: Tensor<R, readonly [T, number]> = this.#embedding.forward(tokens);
    for (const [layer, block] of this.#blocks.entries()) {
      const generation = generationOf(generated, layer);
      x = block.forward(x, sequence, layerCache(generated, layer), {
        ...context,
        generation,
        layer,
      });
    }
    return this.#norm.forward<T, number, R>(x);
  }

  /** The trainable parameters, in the order of the layers. */
  *parameters(): Iterable<Parameter> {
    yield* this.#embedding.parameters();
    for (const block of this.#blocks) yield* block.parameters();
    yield* this.#norm.parameters();
  }

  /** The tensors saved with the weights but not trained, in the order of the layers. */
  *buffers(): Iterable<Parameter> {
    for (const block of this.#blocks) yield* block.buffers();
  }

  /** Frees all weights. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

function layerCache<R extends Real>(
  generated: GeneratedTokens<R> | undefined,
  layer: number,
): LayerCache<R> | undefined {
  if (generated?.cache === undefined) return undefined;
  const { cache, rows, counts } = generated;
  return { cache, layer, rows, counts };
}

function generationOf<R extends Real>(
  generated: GeneratedTokens<R> | undefined,
  layer: number,
): GenerationContext | null {
  if (generated === undefined) return null;
  const { cache, rows, lengths, counts, scored } = generated;
  return { lengths, counts, scored, memory: cache && routerMemoryOf(cache, layer, rows) };
}

/** Number of tokens; throws unless the tensor has one axis. */
export function tokenCount(tokens: Tensor<"i32", readonly [number]>): number {
  if (tokens?.shape?.length === 1) return tokens.shape[0];
  const given = tokens?.shape ? `of shape ${showShape(tokens.shape)}` : shown(tokens);
  throw new ShapeMismatchError(
    `Cannot run a language model on tokens ${given}: it needs a tensor with one axis`,
  );
}

function makeBlock<R extends Real>(
  device: Device,
  settings: ModelSettings<R>,
  layer: number,
): TransformerBlock<R> {
  const { vocabulary: _vocabulary, layers: _layers, tied: _tied, ...block } = settings;
  const feedForward = settings.feedForward(layer);
  requireFeedForward<R>("build a language model", feedForward);
  // The block owns it once constructed; until then, free it on failure.
  using pending = new DisposableStack();
  pending.use(feedForward);
  const name = `model.layers.${layer}`;
  const made = new TransformerBlock<R>(device, { ...block, feedForward, name });
  pending.move();
  return made;
}
