/**
 * A build in float64 that rounds to bfloat16 wherever the contract lets one, and nowhere else. With
 * the identity in place of the rounding it computes what the references and their derivatives do.
 *
 * @module
 */
import type { AttentionOptions } from "../../kernels/cases/attention.ts";
import {
  type AttentionExtendOptions,
  BASE,
  newTokens,
} from "../../kernels/cases/attention_extend.ts";
import type { CrossEntropyOptions } from "../../kernels/cases/cross_entropy.ts";
import type { ExpertsOptions } from "../../kernels/cases/experts.ts";
import { sigmoid } from "../../kernels/cases/reference/elementwise.ts";
import { matmul } from "../../kernels/cases/reference/gemm.ts";
import { rope } from "../../kernels/cases/reference/rope.ts";

/** Rounds a number, or leaves it. */
export type Round = (value: number) => number;

/** Inputs by name. */
export type Inputs = Readonly<Record<string, Float64Array>>;

/** Outputs by name. */
export type Outputs = Record<string, Float64Array>;

const zeros = (count: number) => new Float64Array(count);

/** h and a of each token's experts: what both passes of the experts begin with. */
function* pairs(inputs: Inputs, options: ExpertsOptions, round: Round) {
  const { tokens, hidden, width, experts } = options;
  const { x, w1, gates } = inputs;
  for (let t = 0; t < tokens; t++) {
    for (let e = 0; e < experts; e++) {
      const gate = gates![t * experts + e]!;
      if (gate === 0) continue;
      const weights = w1!.subarray(e * hidden * 2 * width, (e + 1) * hidden * 2 * width);
      const row = x!.subarray(t * hidden, (t + 1) * hidden);
      yield { t, e, gate, h: matmul(row, weights, 1, hidden, 2 * width).map(round) };
    }
  }
}

/** `remoe_experts_forward`, without h. */
export function expertsForward(inputs: Inputs, options: ExpertsOptions, round: Round): Outputs {
  const { tokens, hidden, width } = options;
  const y = zeros(tokens * hidden);
  for (const { t, e, gate, h } of pairs(inputs, options, round)) {
    for (let j = 0; j < width; j++) {
      const a = round(gate * h[j]! * sigmoid(h[j]!) * h[width + j]!);
      for (let d = 0; d < hidden; d++) {
        y[t * hidden + d]! += a * inputs.w2![(e * width + j) * hidden + d]!;
      }
    }
  }
  return { y };
}

/** `remoe_experts_gradient`. */
export function expertsGradient(inputs: Inputs, options: ExpertsOptions, round: Round): Outputs {
  const { tokens, hidden, width, experts } = options;
  const { x, w1, w2, dy } = inputs;
  const [dx, dw1, dw2] = [zeros(x!.length), zeros(w1!.length), zeros(w2!.length)];
  const dgates = zeros(tokens * experts);
  for (const { t, e, gate, h } of pairs(inputs, options, round)) {
    for (let j = 0; j < width; j++) {
      const [g, u, s] = [h[j]!, h[width + j]!, sigmoid(h[j]!)];
      const a = round(gate * g * s * u);
      let upstream = 0;
      for (let d = 0; d < hidden; d++) {
        const at = (e * width + j) * hidden + d;
        upstream += dy![t * hidden + d]! * w2![at]!;
        dw2[at]! += a * dy![t * hidden + d]!;
      }
      dgates[t * experts + e]! += upstream * g * s * u;
      const dg = round(gate * upstream * u * s * (1 + g * (1 - s)));
      const du = round(gate * upstream * g * s);
      for (let d = 0; d < hidden; d++) {
        const at = (e * hidden + d) * 2 * width + j;
        dx[t * hidden + d]! += dg * w1![at]! + du * w1![at + width]!;
        dw1[at]! += x![t * hidden + d]! * dg;
        dw1[at + width]! += x![t * hidden + d]! * du;
      }
    }
  }
  return { dx, dw1, dw2, dgates };
}

/** One query of attention: its row, its columns in q, and where its first key and value are. */
interface Query {
  readonly row: number;
  readonly head: number;
  readonly position: number;
  readonly q: Float64Array;
  key(position: number, column: number): number;
  value(position: number, column: number): number;
}

function* queries({ qkv }: Inputs, options: AttentionOptions): Generator<Query> {
  const { batch, sequence, heads, groups, headDim, padding = 0 } = options;
  const stride = (heads + 2 * groups) * headDim + padding;
  for (let row = 0; row < batch * sequence; row++) {
    const position = row % sequence;
    for (let head = 0; head < heads; head++) {
      const group = Math.floor(head / (heads / groups));
      const at = (j: number, column: number) => (row - position + j) * stride + column;
      const [firstKey, firstValue] = [
        (heads + group) * headDim,
        (heads + groups + group) * headDim,
      ];
      yield {
        row,
        head,
        position,
        q: qkv!.slice(row * stride + head * headDim, row * stride + (head + 1) * headDim),
        key: (j, d) => at(j, firstKey + d),
        value: (j, d) => at(j, firstValue + d),
      };
    }
  }
}

/** The scores of a query that is scaled and rounded. */
function scoresOf(
  qkv: Float64Array,
  { q, key }: Pick<Query, "q" | "key">,
  keys: number,
  round: Round,
): Float64Array {
  const scaled = q.map((value) => round(value / Math.sqrt(q.length)));
  return Float64Array.from(
    { length: keys },
    (_, j) => scaled.reduce((sum, value, d) => sum + value * qkv[key(j, d)]!, 0),
  );
}

/** `remoe_attention_forward`. */
export function attentionForward(
  inputs: Inputs,
  options: AttentionOptions,
  round: Round,
): Outputs {
  const { batch, sequence, heads, headDim } = options;
  const rows = batch * sequence;
  const out = zeros(rows * heads * headDim);
  const normalizer = zeros(2 * rows * heads);
  for (const query of queries(inputs, options)) {
    const scores = scoresOf(inputs.qkv!, query, query.position + 1, round);
    const largest = Math.max(...scores);
    const exact = scores.map((score) => Math.exp(score - largest));
    const total = exact.reduce((sum, p) => sum + p, 0);
    const row = query.row * heads + query.head;
    normalizer.set([largest, total], 2 * row);
    for (let d = 0; d < headDim; d++) {
      const sum = exact.reduce((sum, p, j) => sum + round(p) * inputs.qkv![query.value(j, d)]!, 0);
      out[row * headDim + d] = sum / total;
    }
  }
  return { out, normalizer };
}

/** `remoe_attention_gradient`; gaps between rows stay 0. */
export function attentionGradient(
  inputs: Inputs,
  options: AttentionOptions,
  round: Round,
): Outputs {
  const { heads, groups, headDim, padding = 0 } = options;
  const { qkv, out, dout, normalizer } = inputs;
  const stride = (heads + 2 * groups) * headDim + padding;
  const dqkv = zeros(qkv!.length);
  for (const query of queries(inputs, options)) {
    const row = query.row * heads + query.head;
    const [largest, total] = [normalizer![2 * row]!, normalizer![2 * row + 1]!];
    const scaled = query.q.map((value) => round(value / Math.sqrt(headDim)));
    const scores = scoresOf(qkv!, query, query.position + 1, round);
    const upstream = Float64Array.from(
      { length: headDim },
      (_, d) => round(dout![row * headDim + d]! / total),
    );
    const inner = upstream.reduce((sum, value, d) => sum + value * out![row * headDim + d]!, 0);
    scores.forEach((score, j) => {
      const p = round(Math.exp(score - largest));
      const dp = upstream.reduce((sum, value, d) => sum + value * qkv![query.value(j, d)]!, 0);
      const ds = round(p * (dp - inner));
      for (let d = 0; d < headDim; d++) {
        dqkv[query.row * stride + query.head * headDim + d]! += ds * qkv![query.key(j, d)]! /
          Math.sqrt(headDim);
        dqkv[query.key(j, d)]! += ds * scaled[d]!;
        dqkv[query.value(j, d)]! += p * upstream[d]!;
      }
    });
  }
  return { dqkv };
}

/** `remoe_attention_extend`, without the cache. */
export function attentionExtend(
  inputs: Inputs,
  options: AttentionExtendOptions,
  round: Round,
): Outputs {
  const { capacity, heads, groups, headDim, padding = 0 } = options;
  const stride = (heads + 2 * groups) * headDim + padding;
  const row = 2 * groups * headDim;
  const places = newTokens(options);
  const out = zeros(places.length * heads * headDim);
  const turned = inputs.qkv!.slice();
  const held = inputs.cache!.slice();
  places.forEach((place, i) => {
    const sizes = { rows: 1, stride, sequence: 1, heads: heads + groups, headDim };
    const fresh = rope(turned.subarray(i * stride, (i + 1) * stride), {
      ...sizes,
      base: BASE,
      offset: place.position,
    }).map(round);
    turned.set(fresh, i * stride);
    const cache = held.subarray(place.row * capacity * row, (place.row + 1) * capacity * row);
    cache.set(fresh.subarray(heads * headDim, heads * headDim + row), place.position * row);
    for (let head = 0; head < heads; head++) {
      const first = Math.floor(head / (heads / groups)) * headDim;
      const q = fresh.slice(head * headDim, (head + 1) * headDim);
      const key = (j: number, d: number) => j * row + first + d;
      const scores = scoresOf(cache, { q, key }, place.position + 1, round);
      const largest = Math.max(...scores);
      const exact = scores.map((score) => Math.exp(score - largest));
      const total = exact.reduce((sum, p) => sum + p, 0);
      for (let d = 0; d < headDim; d++) {
        const sum = exact.reduce(
          (sum, p, j) => sum + round(p) * cache[key(j, groups * headDim + d)]!,
          0,
        );
        out[(i * heads + head) * headDim + d] = sum / total;
      }
    }
  });
  return { out, qkv: turned };
}

/** `remoe_cross_entropy_gradient`, from kept logits if the case has them. */
export function crossEntropyGradient(
  inputs: Inputs,
  options: CrossEntropyOptions,
  round: Round,
): Outputs {
  const { tokens, hidden, vocabulary, logitStride } = options;
  const { x, w, dloss, loss, normalizer, targets } = inputs;
  const kept = matmul(x!, w!, tokens, hidden, vocabulary);
  const logits = kept.map((logit, i) => {
    const [t, v] = [Math.floor(i / vocabulary), i % vocabulary];
    if (targets![t]! < 0) return 0;
    const z = logitStride === undefined ? logit : round(logit);
    const p = Math.exp(z - normalizer![2 * t]!) / normalizer![2 * t + 1]!;
    return round((p - (v === targets![t] ? 1 : 0)) * dloss![0]! / loss![1]!);
  });
  const [dx, dw] = [zeros(x!.length), zeros(w!.length)];
  logits.forEach((dz, i) => {
    const [t, v] = [Math.floor(i / vocabulary), i % vocabulary];
    for (let d = 0; d < hidden; d++) {
      dx[t * hidden + d]! += dz * w![d * vocabulary + v]!;
      dw[d * vocabulary + v]! += dz * x![t * hidden + d]!;
    }
  });
  return { ...logitStride === undefined ? {} : { logits }, dx, dw };
}
