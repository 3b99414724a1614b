/**
 * Floating-point operations of training: the formula that papers quote, and what was really run.
 *
 * Symbols: L layers, h hidden size, a heads, g groups, d head size, f width of the dense FFN,
 * k active experts, S sequence length, V vocabulary, N routed rows (pairs of a token and one of
 * its experts). A product [m, k] x [k, n] counts 2mnk.
 *
 * @module
 */

import { requireOptions, requireWhole, shown } from "../arguments.ts";
import type { ModelConfig, MoEConfig } from "../config/config.ts";
import { routerOf } from "../moe/router_of.ts";

/** Sizes that the FLOPs of a model depend on. */
export type FlopsModel = Pick<
  ModelConfig,
  "layers" | "hidden" | "heads" | "groups" | "ffn" | "vocabulary"
>;

/**
 * FLOPs of one training sequence, forward and backward, by Megatron-LM's formula
 *
 *     12 S L h^2 [(1 + g/a + S/h) + 3/2 k f/h + V/(2 L h)]
 *
 * where 12 = 3 (forward, gradient of the input, gradient of the weight) x 2 (two products) x 2,
 * and 3/2 stands for SwiGLU's third matrix. Attention counts the whole S x S, not its causal
 * half; routers, norms, the embedding lookup and the optimizer are not counted. The number is the
 * same for any E and G: it measures the dense equivalent, whatever the routers really did.
 *
 * @param model The sizes of the transformer.
 * @param moe Its `active` experts.
 * @param sequence Tokens a sequence.
 * @returns FLOPs of one sequence.
 *
 * @example The paper's Table 1 says 995 GFLOPs for the 182M model
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
  moe: Pick<MoEConfig, "active">,
  sequence: number,
): number {
  requireSizes(model);
  requireWhole(COUNT, "moe.active", moe?.active, { least: 1 });
  requireWhole(COUNT, "sequence", sequence, { least: 1 });
  const { layers, hidden, heads, groups, ffn, vocabulary } = model;
  const attention = 1 + groups / heads + sequence / hidden;
  const experts = 1.5 * moe.active * (ffn / hidden);
  const head = vocabulary / (2 * layers * hidden);
  return 12 * sequence * layers * hidden ** 2 * (attention + experts + head);
}

/** What a stretch of training (a step, or a micro-batch) worked on. */
export interface ExecutedWork {
  /** Sequences of the stretch. */
  readonly sequences: number;
  /** Tokens a sequence. */
  readonly sequence: number;
  /** N of each layer over the stretch; with the dense router, the tokens. */
  readonly rows: readonly number[];
}

/** Executed FLOPs by part. */
export interface ExecutedFlops {
  /** Query, key, value and output projections. */
  readonly projections: number;
  /** Scores and weighted values, the causal half. */
  readonly attention: number;
  /** Router products. */
  readonly routers: number;
  /** The experts' products, on routed rows only. */
  readonly experts: number;
  /** The output head. */
  readonly head: number;
  /** All of them. */
  readonly total: number;
}

/**
 * FLOPs of the matrix products that training really ran, forward and backward:
 *
 * - projections, routers: 6 a weight and token (one product forward, two backward);
 * - attention: a query sees S(S+1)/2 keys in all; 2 products of size d forward, 5 backward, since
 *   the scores are recomputed rather than kept;
 * - experts: 18 h W a routed row of an expert W = f/G wide (6 forward, 12 backward);
 * - output head: 6 h V a token: the logits and two gradients.
 *
 * Norms, activations, the optimizer and the masked part of diagonal tiles are left out, and so is
 * what a run computes again to save memory: pre-activations beyond a limit, logits beyond 512 MiB.
 *
 * @param model The sizes of the transformer.
 * @param moe Router, experts and granularity.
 * @param work Sequences and routed rows.
 * @returns FLOPs by part.
 * @throws {RangeError} A size is none, or `rows` does not have one entry a layer.
 * @throws {TypeError} `work` is no object, or the router is unknown.
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
  moe: Pick<MoEConfig, "router" | "router_file" | "experts" | "granularity">,
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
  const router = routerOf(moe, COUNT);
  if (!Array.isArray(rows) || rows.length !== layers) {
    throw new RangeError(
      `Cannot count FLOPs: work.rows is ${shown(rows)}, expected a count of rows for each of ` +
        `${layers} layers`,
    );
  }
  Array.from(rows).forEach((count, layer) => {
    if (Number.isFinite(count) && count >= 0) return;
    throw new RangeError(
      `Cannot count FLOPs: work.rows[${layer}] is ${shown(count)}, expected a number of at least 0`,
    );
  });
  const tokens = sequences * sequence;
  const weights = 2 * hidden ** 2 * (1 + groups / heads);
  const pairs = (sequences * sequence * (sequence + 1)) / 2;
  const routed = rows.reduce((sum, count) => sum + count, 0);
  const projections = 6 * tokens * layers * weights;
  const attention = 2 * 7 * hidden * pairs * layers;
  const routers = 6 * tokens * layers * router.weights(hidden, moe.experts * moe.granularity);
  const experts = 18 * routed * hidden * (ffn / moe.granularity);
  const head = 6 * tokens * hidden * vocabulary;
  const total = projections + attention + routers + experts + head;
  return { projections, attention, routers, experts, head, total };
}

const COUNT = "count FLOPs";

function requireSizes(model: FlopsModel): void {
  for (const name of ["layers", "hidden", "heads", "groups", "ffn", "vocabulary"] as const) {
    // A layer alone has no vocabulary.
    requireWhole(COUNT, `model.${name}`, model?.[name], { least: name === "vocabulary" ? 0 : 1 });
  }
}
