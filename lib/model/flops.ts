/**
 * FLOPs of training: the formula that papers quote, and the operations actually executed.
 *
 * Symbols: L layers, h hidden size, a heads, g groups, d head size, f width of the dense FFN, k
 * active experts, S sequence length, V vocabulary, N routed rows (token–expert pairs). A product
 * [m, k] x [k, n] counts 2mnk.
 *
 * @module
 */

import { requireOptions, requireWhole, shown } from "../arguments.ts";
import type { ModelConfig, MoEConfig } from "../config/config.ts";
import { denseLayers, denseWidth, routedLayers, type WidthKeys } from "../config/layer_widths.ts";
import { routerOf } from "../moe/router_of.ts";
import { segmentCount } from "../moe/segments.ts";
import { routedExperts } from "../moe/layer_sizes.ts";

/** Sizes that the FLOPs of a model depend on. */
export type FlopsModel =
  & Pick<ModelConfig, "layers" | "hidden" | "heads" | "groups" | "ffn" | "vocabulary">
  & Partial<Pick<ModelConfig, "head_dim">>;

/** Shared experts apart from `active`, and layers without experts; by default there are none. */
export type FlopsLayers = Partial<
  Pick<MoEConfig, "shared_ffn" | "shared_gate" | "dense_layers" | "dense_ffn">
>;

/**
 * FLOPs of one training sequence, forward and backward, by Megatron-LM's formula
 *
 *     12 S L h^2 [(1 + g/a + S/h) a d/h + 3/2 k f/h + V/(2 L h)]
 *
 * with a d = h unless heads have a size of their own,
 * where 12 = 3 (forward, gradient of the input, gradient of the weight) x 2 (two products) x 2, and
 * 3/2 accounts for SwiGLU's third matrix. Attention counts the full S x S, not the causal half;
 * routers, norms, the embedding lookup and the optimizer are not counted. The number does not
 * depend on E or G: it measures the dense equivalent, whatever the routers actually did.
 *
 * @param model The sizes of the transformer.
 * @param moe Its `active` experts.
 * @param sequence Tokens per sequence.
 * @returns FLOPs of one sequence. A shared expert apart from `active` and the dense network of a
 * layer without experts count with their own widths.
 * @throws {RangeError} If a size is not a whole number in its range.
 *
 * @example The paper's Table 1 gives 995 GFLOPs for the 182M model
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { formulaFlops, parseConfig } from "@remoe/remoe/train";
 *
 * const { model, moe } = parseConfig({ preset: "182m" });
 * assertEquals(Math.round(formulaFlops(model, moe, 1024) / 1e9), 995);
 * ```
 */
export function formulaFlops(
  model: FlopsModel,
  moe: Pick<MoEConfig, "active"> & FlopsLayers,
  sequence: number,
): number {
  requireSizes(model);
  requireWhole(COUNT, "moe.active", moe?.active, { least: 1 });
  requireWhole(COUNT, "sequence", sequence, { least: 1 });
  requireLayerKeys(model, moe);
  const { layers, hidden, heads, groups, ffn, vocabulary } = model;
  const attention = (1 + groups / heads + sequence / hidden) * headShare(model);
  const routed = routedLayers(widthsOf(model, moe)) / layers;
  const experts = 1.5 * moe.active * (ffn / hidden) * routed +
    1.5 * widthApart(model, moe) / (layers * hidden);
  const head = vocabulary / (2 * layers * hidden);
  return 12 * sequence * layers * hidden ** 2 * (attention + experts + head);
}

/** The work of a stretch of training, such as a step or a micro-batch. */
export interface ExecutedWork {
  /** Number of sequences. */
  readonly sequences: number;
  /** Tokens per sequence. */
  readonly sequence: number;
  /**
   * N of each layer with experts, summed over the stretch; with the dense router, the number of
   * tokens.
   */
  readonly rows: readonly number[];
}

/** Executed FLOPs by part. */
export interface ExecutedFlops {
  /** Query, key, value and output projections. */
  readonly projections: number;
  /** Scores and weighted values, causal half only. */
  readonly attention: number;
  /** Router products. */
  readonly routers: number;
  /** Products of the experts, on routed rows only, and of merging them. */
  readonly experts: number;
  /** The output head. */
  readonly head: number;
  /** Sum of the parts. */
  readonly total: number;
}

/**
 * FLOPs of the matrix products that training executed, forward and backward:
 *
 * - projections, routers: 6 per weight and token (one product forward, two backward);
 * - attention: S(S+1)/2 query-key pairs per sequence and head; 2 products of size d forward, 5
 *   backward, since the scores are recomputed rather than kept;
 * - experts: 18 h W per routed row of an expert of width W = f/G (6 forward, 12 backward), and per
 *   token and shared expert; merging E experts takes another 18 E h W per segment (2 per weight
 *   forward, 4 backward), and its router runs once per segment;
 * - output head: 6 h V per token: the logits and two gradients.
 *
 * Norms, activations, the optimizer and the masked part of diagonal tiles are not counted. Neither
 * is recomputation that saves memory: pre-activations and logits beyond a limit.
 *
 * @param model The sizes of the transformer.
 * @param moe Router, experts and granularity.
 * @param work Sequences and routed rows.
 * @returns FLOPs by part.
 * @throws {RangeError} If a size is invalid, or `rows` does not have one entry per layer.
 * @throws {TypeError} If `work` is not an object, or the router is unknown.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { executedFlops, parseConfig } from "@remoe/remoe/train";
 *
 * const { model, moe, data } = parseConfig({ preset: "pico" });
 * const tokens = data.batch * data.sequence;
 * const work = { sequences: data.batch, sequence: data.sequence };
 * const sparse = executedFlops(model, moe, { ...work, rows: [tokens, tokens] });
 * const dense = executedFlops(model, moe, { ...work, rows: [8 * tokens, 8 * tokens] });
 * assert(dense.experts === 8 * sparse.experts && dense.head === sparse.head);
 * ```
 */
export function executedFlops(
  model: FlopsModel,
  moe:
    & Pick<MoEConfig, "router" | "router_file" | "experts" | "granularity">
    & Partial<Pick<MoEConfig, "shared">>
    & FlopsLayers,
  work: ExecutedWork,
): ExecutedFlops {
  requireSizes(model);
  requireOptions(COUNT, work);
  const { layers, hidden, heads, groups, ffn, vocabulary } = model;
  const { sequences, sequence, rows } = work;
  for (const [name, value] of Object.entries({ sequences, sequence })) {
    requireWhole(COUNT, `work.${name}`, value, { least: 1 });
  }
  requireWhole(COUNT, "moe.experts", moe?.experts, { least: 1 });
  requireWhole(COUNT, "moe.granularity", moe.granularity, { least: 1 });
  if (moe.shared !== undefined) requireWhole(COUNT, "moe.shared", moe.shared);
  const router = routerOf(moe, COUNT);
  requireLayerKeys(model, moe);
  const routedCount = routedLayers(widthsOf(model, moe));
  if (!Array.isArray(rows) || rows.length !== routedCount) {
    throw new RangeError(
      `Cannot count FLOPs: work.rows is ${shown(rows)}, expected a count of rows for each of ` +
        `${routedCount} layers`,
    );
  }
  Array.from(rows).forEach((count, layer) => {
    if (Number.isFinite(count) && count >= 0) return;
    throw new RangeError(
      `Cannot count FLOPs: work.rows[${layer}] is ${shown(count)}, expected a number of at least 0`,
    );
  });
  const tokens = sequences * sequence;
  const weights = 2 * hidden ** 2 * (1 + groups / heads) * headShare(model);
  const pairs = (sequences * sequence * (sequence + 1)) / 2;
  const routed = rows.reduce((sum, count) => sum + count, 0);
  const projections = 6 * tokens * layers * weights;
  const attention = 2 * 7 * hidden * headShare(model) * pairs * layers;
  const count = routedExperts(moe);
  const segments = sequences * segmentCount(sequence);
  const decisions = router.merges ? segments : tokens;
  const gates = moe.shared_gate ? 6 * tokens * routedCount * hidden : 0;
  const routers = 6 * decisions * routedCount * router.weights(hidden, count) + gates;
  const merged = router.merges ? count * segments * routedCount : 0;
  const shared = routedCount * tokens * (moe.shared ?? 0);
  const experts = 18 * (routed + merged + shared) * hidden * (ffn / moe.granularity) +
    18 * tokens * hidden * widthApart(model, moe);
  const head = 6 * tokens * hidden * vocabulary;
  const total = projections + attention + routers + experts + head;
  return { projections, attention, routers, experts, head, total };
}

const COUNT = "count FLOPs";

function widthsOf(model: FlopsModel, moe: FlopsLayers): WidthKeys {
  return { model, moe: { ...moe, granularity: 1 } };
}

/** Width that every token uses apart from `active`, summed over the layers. */
function widthApart(model: FlopsModel, moe: FlopsLayers): number {
  const keys = widthsOf(model, moe);
  return routedLayers(keys) * (moe.shared_ffn ?? 0) + denseLayers(keys) * denseWidth(keys);
}

function requireLayerKeys({ layers }: FlopsModel, moe: FlopsLayers): void {
  const { shared_ffn = null, dense_ffn = null, dense_layers = [] } = moe;
  for (const [name, value] of Object.entries({ shared_ffn, dense_ffn })) {
    if (value !== null) requireWhole(COUNT, `moe.${name}`, value, { least: 1 });
  }
  const isList = Array.isArray(dense_layers) && new Set(dense_layers).size === dense_layers.length;
  if (
    isList && dense_layers.every((each) => Number.isInteger(each) && each >= 0 && each < layers)
  ) {
    return;
  }
  throw new RangeError(
    `Cannot count FLOPs: moe.dense_layers is ${shown(dense_layers)}, expected layers from 0 to ` +
      `${layers - 1}, each once`,
  );
}

/** All query heads' width as a share of the hidden size, which it is by default. */
function headShare(model: FlopsModel): number {
  const { heads, hidden, head_dim = null } = model;
  return head_dim === null ? 1 : heads * head_dim / hidden;
}

function requireSizes(model: FlopsModel): void {
  for (const name of ["layers", "hidden", "heads", "groups", "ffn", "vocabulary"] as const) {
    // 0: a layer by itself has no vocabulary.
    requireWhole(COUNT, `model.${name}`, model?.[name], { least: name === "vocabulary" ? 0 : 1 });
  }
  const { head_dim = null } = model;
  if (head_dim !== null) requireWhole(COUNT, "model.head_dim", head_dim, { least: 1 });
}
