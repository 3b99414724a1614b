import { attention } from "../../kernels/cases/reference/attention.ts";
import { crossEntropy } from "../../kernels/cases/reference/cross_entropy.ts";
import { experts, swiglu } from "../../kernels/cases/reference/experts.ts";
import { matmul } from "../../kernels/cases/reference/gemm.ts";
import { softmax } from "../../kernels/cases/reference/reduction.ts";
import { rmsNorm } from "../../kernels/cases/reference/rms_norm.ts";
import { rope } from "../../kernels/cases/reference/rope.ts";
import {
  type BalanceName,
  balanceWeights,
  columnSums,
} from "../../kernels/cases/reference/router.ts";

/** Weights by their names in checkpoints. */
export type Weights = Readonly<Record<string, Float64Array>>;

/** What other families' attention has besides LLaMA's. */
export interface AttentionExtras {
  readonly headDim?: number;
  readonly qkvBias?: boolean;
  readonly qkNorm?: "none" | "full" | "head";
  readonly clipQkv?: number;
}

/** Sizes of the model. */
export interface ModelSizes extends AttentionExtras {
  /** Whether the head is the embedding's table. */
  readonly tied?: boolean;
  readonly vocabulary: number;
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly groups: number;
  readonly sequence: number;
  readonly ropeBase: number;
  readonly normEpsilon: number;
}

/** The result of a block's second half. */
export interface FeedForwardResult {
  readonly y: Float64Array;
  /** What the layer adds to the loss. */
  readonly penalty: number;
  /** The experts that each token went to; where this changes, the loss has a kink or a step. */
  readonly routing: string;
}

/** The second half of a block in float64. */
export type FeedForwardReference = (
  x: Float64Array,
  weights: Weights,
  prefix: string,
) => FeedForwardResult;

/** The whole loss, and the routing that led to it. */
export interface ModelResult {
  readonly loss: number;
  readonly routing: string;
}

/**
 * A LLaMA language model with cross entropy, straight from its definition in float64.
 *
 * @param weights All parameters.
 * @param tokens Whole sequences.
 * @param targets The token that follows each; negative ones are ignored.
 * @param sizes Sizes.
 * @param feedForward The second half of each block.
 * @returns The mean loss with the layers' penalties.
 */
export function languageModel(
  weights: Weights,
  tokens: Int32Array,
  targets: Int32Array,
  sizes: ModelSizes,
  feedForward: FeedForwardReference,
): ModelResult {
  const { y, penalty, routing } = finalStates(weights, tokens, sizes, feedForward);
  const head = { tokens: tokens.length, hidden: sizes.hidden, vocabulary: sizes.vocabulary };
  const { mean } = crossEntropy(y, headOf(weights, sizes), targets, head);
  return { loss: mean + penalty, routing };
}

/** The same model's logits `[tokens, vocabulary]`. */
export function languageModelLogits(
  weights: Weights,
  tokens: Int32Array,
  sizes: ModelSizes,
  feedForward: FeedForwardReference,
): Float64Array {
  const { y } = finalStates(weights, tokens, sizes, feedForward);
  return matmul(y, headOf(weights, sizes), tokens.length, sizes.hidden, sizes.vocabulary);
}

/** The output head `[hidden, vocabulary]`. */
function headOf(weights: Weights, { tied, hidden, vocabulary }: ModelSizes): Float64Array {
  if (!tied) return weights["lm_head.weight"]!;
  const table = weights["model.embed_tokens.weight"]!;
  return Float64Array.from(
    table,
    (_, i) => table[(i % vocabulary) * hidden + Math.floor(i / vocabulary)]!,
  );
}

/** Normalised hidden states after the last block, and the layers' penalties. */
function finalStates(
  weights: Weights,
  tokens: Int32Array,
  sizes: ModelSizes,
  feedForward: FeedForwardReference,
): FeedForwardResult {
  const { layers, hidden, normEpsilon } = sizes;
  const table = weights["model.embed_tokens.weight"]!;
  let x = Float64Array.from(
    [...tokens].flatMap((token) => [...table.subarray(token * hidden, (token + 1) * hidden)]),
  );
  let [penalty, routing] = [0, ""];
  for (let layer = 0; layer < layers; layer++) {
    const result = block(x, weights, `model.layers.${layer}`, sizes, feedForward);
    x = Float64Array.from(result.y);
    penalty += result.penalty;
    routing += result.routing;
  }
  return { y: rmsNorm(x, weights["model.norm.weight"]!, normEpsilon), penalty, routing };
}

/** A pre-norm block. */
export function block(
  x: Float64Array,
  weights: Weights,
  prefix: string,
  sizes: Omit<ModelSizes, "vocabulary" | "layers">,
  feedForward: FeedForwardReference,
): FeedForwardResult {
  const norm = (states: Float64Array, name: string): Float64Array =>
    rmsNorm(states, weights[`${prefix}.${name}.weight`]!, sizes.normEpsilon);
  const attended = attend(norm(x, "input_layernorm"), weights, prefix, sizes);
  const middle = x.map((value, i) => value + attended[i]!);
  const result = feedForward(norm(middle, "post_attention_layernorm"), weights, prefix);
  return { ...result, y: middle.map((value, i) => value + result.y[i]!) };
}

/** A block's attention, without norm and residual. */
export function attend(
  x: Float64Array,
  weights: Weights,
  prefix: string,
  sizes: Omit<ModelSizes, "vocabulary" | "layers">,
): Float64Array {
  const { hidden, heads, groups, sequence, ropeBase, headDim = hidden / heads } = sizes;
  const rows = x.length / hidden;
  const stride = (heads + 2 * groups) * headDim;
  const qkv = matmul(x, weights[`${prefix}.self_attn.qkv_proj.weight`]!, rows, hidden, stride);
  const turned = rope(adjusted(qkv, weights, prefix, { ...sizes, headDim }), {
    rows,
    stride,
    sequence,
    heads: heads + groups,
    headDim,
    base: ropeBase,
    offset: 0,
  });
  const batch = rows / sequence;
  const { out } = attention(turned, { batch, sequence, heads, groups, headDim, stride });
  const output = weights[`${prefix}.self_attn.o_proj.weight`]!;
  return matmul(out, output, rows, heads * headDim, hidden);
}

/** Bias, norms of queries and keys, and limit of a projection, as far as the model has them. */
function adjusted(
  qkv: Float64Array,
  weights: Weights,
  prefix: string,
  sizes: Omit<ModelSizes, "vocabulary" | "layers"> & { readonly headDim: number },
): Float64Array {
  const { heads, groups, headDim, qkvBias, qkNorm = "none", clipQkv = Infinity } = sizes;
  const stride = (heads + 2 * groups) * headDim;
  const bias = weights[`${prefix}.self_attn.qkv_proj.bias`];
  const y = qkvBias ? qkv.map((value, i) => value + bias![i % stride]!) : qkv.slice();
  if (qkNorm !== "none") {
    for (const [which, start, count] of [["q", 0, heads], ["k", heads, groups]] as const) {
      const scale = weights[`${prefix}.self_attn.${which}_norm.weight`]!;
      const [width, each] = [count * headDim, scale.length];
      for (let row = 0; row < y.length / stride; row++) {
        for (let at = 0; at < width; at += each) {
          const from = row * stride + start * headDim + at;
          const part = y.subarray(from, from + each);
          part.set(rmsNorm(Float64Array.from(part), scale, sizes.normEpsilon));
        }
      }
    }
  }
  return y.map((value) => Math.max(-clipQkv, Math.min(clipQkv, value)));
}

/** The dense feed-forward network. */
export function denseFeedForward(hidden: number, width: number): FeedForwardReference {
  return (x, weights, prefix) => {
    const rows = x.length / hidden;
    const gateUp = weights[`${prefix}.mlp.gate_up_proj.weight`]!;
    const activated = swiglu(matmul(x, gateUp, rows, hidden, 2 * width), width);
    const down = weights[`${prefix}.mlp.down_proj.weight`]!;
    return { y: matmul(activated, down, rows, width, hidden), penalty: 0, routing: "" };
  };
}

/** Sizes and regularisation of an MoE layer. */
export interface MoEReference {
  readonly hidden: number;
  readonly width: number;
  readonly experts: number;
  readonly active: number;
  readonly router: "relu" | "topk";
  readonly renormalize?: boolean;
  readonly balance?: BalanceName;
  /** λ divided by the number of layers, or the coefficient of the balance loss. */
  readonly coefficient?: number;
}

/** An MoE layer with its regularisation (equations 1, 5, 9, 10), or Switch's balance loss. */
export function mixture(options: MoEReference): FeedForwardReference {
  const { hidden, width, active, balance = "none", coefficient = 0 } = options;
  return (x, weights, prefix) => {
    const tokens = x.length / hidden;
    const logits = matmul(x, weights[`${prefix}.gate`]!, tokens, hidden, options.experts);
    const { gates, statistic } = options.router === "relu"
      ? reluGates(logits)
      : topkGates(logits, options);
    const routing = Array.from(gates, (gate) => gate > 0 ? "1" : "0").join("");
    const counts = columnSums(gates.map((gate) => gate > 0 ? 1 : 0), options.experts);
    // Switch's loss weights probabilities by n_e as equation 10 weights gates.
    const weighting = balance === "switch" ? "load" : balance;
    const f = balanceWeights(weighting, counts, tokens, active);
    const sums = columnSums(statistic, options.experts);
    const penalty = coefficient / tokens *
      f.reduce((total, share, e) => total + share * sums[e]!, 0);
    const [w1, w2] = [weights[`${prefix}.experts.w1`]!, weights[`${prefix}.experts.w2`]!];
    const sizes = { tokens, hidden, width, experts: options.experts };
    return { y: experts(x, w1, w2, gates, sizes), penalty, routing };
  };
}

interface Gates {
  gates: Float64Array;
  /** What the balance term sums: gates, or all probabilities. */
  statistic: Float64Array;
}

function reluGates(logits: Float64Array): Gates {
  const gates = logits.map((logit) => Math.max(logit, 0));
  return { gates, statistic: gates };
}

function topkGates(logits: Float64Array, { experts, active, renormalize }: MoEReference): Gates {
  const statistic = softmax(logits, experts);
  const gates = new Float64Array(logits.length);
  for (let start = 0; start < logits.length; start += experts) {
    const row = statistic.subarray(start, start + experts);
    const threshold = row.toSorted((a, b) => b - a)[active - 1]!;
    const chosen = row.map((p) => p >= threshold ? p : 0);
    const total = renormalize ? chosen.reduce((sum, p) => sum + p, 0) : 1;
    gates.set(chosen.map((p) => p / total), start);
  }
  return { gates, statistic };
}
