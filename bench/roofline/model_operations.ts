/** The rest of a model at the paper's sizes: norms, attention, embedding, head and optimizer. @module */

import { adamwCase } from "../../kernels/cases/adamw.ts";
import { attentionCase, attentionGradientCase } from "../../kernels/cases/attention.ts";
import { attentionExtendCase } from "../../kernels/cases/attention_extend.ts";
import { crossEntropyCase, crossEntropyKeptCase } from "../../kernels/cases/cross_entropy.ts";
import { embeddingCase, embeddingGradientCase } from "../../kernels/cases/embedding.ts";
import { rmsNormCase, rmsNormGradientCase } from "../../kernels/cases/rms_norm.ts";
import { ropeCase } from "../../kernels/cases/rope.ts";
import { bf16, f32, type Operation, operation } from "./operation.ts";

const TOKENS = 16384;
const HIDDEN = 768;
const SEQUENCE = 1024;
const HEADS = 12;
const GROUPS = 4;

/**
 * Lists the calls of a model without its products and experts.
 *
 * @returns The operations.
 */
export function modelOperations(): Operation[] {
  return [
    ...norms(),
    rope(),
    ...attention(),
    decode(),
    ...embedding(),
    ...head(),
    optimizer(),
  ];
}

function norms(): Operation[] {
  const sizes = { rows: TOKENS, columns: HIDDEN, dtype: "bf16" } as const;
  const x = bf16(TOKENS, HIDDEN);
  const weight = f32(HIDDEN);
  const inputs = { x, weight, dy: x, inverse: f32(TOKENS) };
  const gradient = rmsNormGradientCase(TOKENS, HIDDEN, "bf16");
  const group = "Model";
  return [
    operation({
      ...{ group, name: "rms_norm_forward", timed: "rms_norm forward" },
      kernelCase: rmsNormCase(sizes),
      inputs: { x, weight },
    }),
    operation({
      ...{ group, name: "rms_norm_gradient", timed: "rms_norm gradient" },
      kernelCase: gradient,
      inputs,
    }),
    operation({
      ...{ group, name: "rms_norm_gradient, added", timed: "rms_norm gradient, added" },
      kernelCase: gradient,
      inputs,
      accumulate: 3,
      minimum: gradient.bytes + x + weight,
    }),
  ];
}

function rope(): Operation {
  const stride = (HEADS + 2 * GROUPS) * 64;
  const sizes = { rows: TOKENS, stride, sequence: SEQUENCE, heads: HEADS + GROUPS, headDim: 64 };
  return operation({
    ...{ group: "Model", name: "rope on q and k", timed: "rope on q and k" },
    kernelCase: ropeCase({ ...sizes, base: 1e6, offset: 0 }, "bf16"),
    inputs: { x: bf16(TOKENS, stride) },
  });
}

function attention(): Operation[] {
  const [heads, headDim] = [HEADS, 64];
  // One of sixteen sequences: what a sequence costs does not depend on the others.
  const batch = 1;
  const rows = batch * SEQUENCE;
  const sizes = {
    batch,
    sequence: SEQUENCE,
    heads,
    groups: GROUPS,
    headDim,
    dtype: "bf16",
  } as const;
  const qkv = bf16(rows, heads + 2 * GROUPS, headDim);
  const out = bf16(rows, heads, headDim);
  const normalizer = f32(rows, heads, 2);
  const forward = attentionCase(sizes);
  const gradient = attentionGradientCase(sizes);
  const words = `${heads} heads of ${headDim}, ${GROUPS} groups`;
  return [
    operation({
      ...{ group: "Model", name: `attention_forward, ${words}`, bound: "compute" },
      kernelCase: forward,
      inputs: { qkv },
      minimum: qkv + out + normalizer,
      operations: forward.flops,
      timed: `attention forward ${words}`,
    }),
    operation({
      ...{ group: "Model", name: `attention_gradient, ${words}`, bound: "compute" },
      kernelCase: gradient,
      inputs: { qkv, dout: out, out, normalizer },
      minimum: 2 * qkv + 2 * out + normalizer,
      operations: gradient.flops,
      timed: `attention gradient ${words}`,
    }),
  ];
}

function decode(): Operation {
  const capacity = 1024;
  const headDim = 64;
  const lengths = Array.from({ length: 16 }, (_, b) => 512 + 16 * b);
  const kernelCase = attentionExtendCase({
    ...{ lengths, capacity, heads: HEADS, groups: GROUPS, headDim, dtype: "bf16" },
  });
  return operation({
    ...{ group: "Model", name: "attention_extend by a token, 16 sequences of 512 to 752" },
    kernelCase,
    inputs: {
      qkv: bf16(lengths.length, HEADS + 2 * GROUPS, headDim),
      cache: bf16(lengths.length, capacity, 2 * GROUPS, headDim),
      lengths: Int32Array.from(lengths),
    },
  });
}

/** Token ids that are spread over a vocabulary, each about as often. */
function ids(count: number, vocabulary: number): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: count }, (_, i) => (i * 7919) % vocabulary);
}

function embedding(): Operation[] {
  const vocabulary = 51200;
  const sizes = { count: TOKENS, hidden: HIDDEN, vocabulary, dtype: "bf16" } as const;
  const few = ids(TOKENS, 256);
  const gradient = embeddingGradientCase(sizes);
  return [
    operation({
      ...{ group: "Model", name: "embedding_forward, 256 of the ids" },
      kernelCase: embeddingCase(sizes),
      inputs: { table: bf16(vocabulary, HIDDEN), tokens: few },
      // The rows that occur, once.
      minimum: bf16(256, HIDDEN) + bf16(TOKENS, HIDDEN) + 4 * TOKENS,
      timed: "embedding forward, 256 of the ids",
    }),
    ...([["256 of the ids", few], ["all ids", ids(TOKENS, vocabulary)]] as const).map((
      [words, tokens],
    ) =>
      operation({
        ...{ group: "Model", name: `embedding_gradient, ${words}` },
        kernelCase: gradient,
        inputs: { tokens, dy: bf16(TOKENS, HIDDEN), dtable: f32(vocabulary, HIDDEN) },
        timed: `embedding gradient, ${words}`,
      })
    ),
  ];
}

/** Fewer tokens, and a smaller vocabulary, than the paper's: both are multiples of the tiles. */
function head(): Operation[] {
  const [tokens, vocabulary] = [2048, 6400];
  const sizes = {
    ...{ tokens, hidden: HIDDEN, vocabulary, logitStride: vocabulary },
    dtype: "bf16",
  } as const;
  const inputs = {
    x: bf16(tokens, HIDDEN),
    w: bf16(HIDDEN, vocabulary),
    targets: ids(tokens, vocabulary),
  };
  const kept = bf16(tokens, vocabulary);
  const forward = crossEntropyCase(sizes);
  const gradient = crossEntropyKeptCase(sizes);
  const words = "2048 tokens, vocabulary 6400, logits kept";
  return [
    operation({
      ...{ group: "Model", name: `cross_entropy_forward, ${words}`, bound: "compute" },
      kernelCase: forward,
      inputs,
      minimum: forward.bytes + kept,
      operations: forward.flops,
      timed: "cross entropy forward, logits kept",
    }),
    operation({
      ...{ group: "Model", name: `cross_entropy_gradient, ${words}`, bound: "compute" },
      kernelCase: gradient,
      inputs: {
        ...inputs,
        logits: kept,
        dloss: Float32Array.of(1),
        loss: Float32Array.of(1, tokens),
        normalizer: f32(tokens, 2),
      },
      // The logits become their gradient, which each of two products reads.
      minimum: 2 * inputs.x + inputs.w + f32(HIDDEN, vocabulary) + 4 * kept,
      operations: gradient.flops,
      timed: "cross entropy gradient, logits kept",
    }),
  ];
}

function optimizer(): Operation {
  const elements = 4 << 20;
  const kernelCase = adamwCase({
    ...{ label: "counted", parameters: [{ elements, decays: true }], steps: 1, clip: 1 },
    copies: true,
  });
  return operation({
    ...{ group: "Model", name: "gradient_norm and adamw with a bf16 copy, 4M weights" },
    kernelCase,
    inputs: {
      master: f32(elements),
      moment1: f32(elements),
      moment2: f32(elements),
      gradient: f32(elements),
      tables: 64,
      state: 8 * 32,
    },
    // The norm needs every gradient before the first weight moves.
    minimum: kernelCase.bytes + f32(elements),
    timed: "adamw with a bf16 copy",
  });
}
