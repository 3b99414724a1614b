/** The tensors of a run's `model.safetensors`, from its configuration alone. @module */

import type { TrainConfig } from "../config/config.ts";
import { headDim } from "../config/head_dim.ts";
import { denseWidth, sharedWidth } from "../config/layer_widths.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { routerOf } from "../moe/router_of.ts";

/** A tensor of the file. */
export interface RunTensor {
  /** Its name. */
  readonly name: string;
  /** Its sizes, outermost first. */
  readonly shape: readonly number[];
}

/**
 * Lists the weights of a model, dense or with a linear router, as its checkpoints hold them.
 *
 * @param config The run's configuration.
 * @returns The tensors, in the order of the model.
 */
export function runTensors(config: TrainConfig): RunTensor[] {
  const { model, moe } = config;
  const { hidden, vocabulary, layers } = model;
  const vector = [hidden];
  return [
    { name: "model.embed_tokens.weight", shape: [vocabulary, hidden] },
    ...Array.from({ length: layers }, (_, layer) => {
      const prefix = `model.layers.${layer}`;
      return [
        { name: `${prefix}.input_layernorm.weight`, shape: vector },
        ...attentionTensors(`${prefix}.self_attn`, model),
        { name: `${prefix}.post_attention_layernorm.weight`, shape: vector },
        ...(routerOf(moe).routed && !moe.dense_layers.includes(layer)
          ? expertTensors(`${prefix}.block_sparse_moe`, config)
          : feedForwardTensors(`${prefix}.mlp`, hidden, denseWidth(config))),
      ];
    }).flat(),
    { name: "model.norm.weight", shape: vector },
    ...(model.tied ? [] : [{ name: "lm_head.weight", shape: [vocabulary, hidden] }]),
  ];
}

function attentionTensors(prefix: string, model: TrainConfig["model"]): RunTensor[] {
  const { hidden, heads, groups, qkv_bias, qk_norm } = model;
  const size = headDim(model);
  const parts = [["q", heads * size], ["k", groups * size], ["v", groups * size]] as const;
  const normed = qk_norm === "none" ? [] : parts.slice(0, 2);
  return [
    ...parts.map(([which, rows]) => ({
      name: `${prefix}.${which}_proj.weight`,
      shape: [rows, hidden],
    })),
    ...(qkv_bias
      ? parts.map(([which, rows]) => ({ name: `${prefix}.${which}_proj.bias`, shape: [rows] }))
      : []),
    { name: `${prefix}.o_proj.weight`, shape: [hidden, heads * size] },
    ...normed.map(([which, rows]) => ({
      name: `${prefix}.${which}_norm.weight`,
      shape: [qk_norm === "full" ? rows : size],
    })),
  ];
}

function expertTensors(prefix: string, config: TrainConfig): RunTensor[] {
  const { model: { hidden, ffn }, moe } = config;
  const width = ffn / moe.granularity;
  const shared = sharedWidth(config);
  const { experts } = routedSizes(moe);
  return [
    { name: `${prefix}.gate.weight`, shape: [experts, hidden] },
    ...Array.from({ length: experts }, (_, expert) => [
      { name: `${prefix}.experts.${expert}.w1.weight`, shape: [width, hidden] },
      { name: `${prefix}.experts.${expert}.w3.weight`, shape: [width, hidden] },
      { name: `${prefix}.experts.${expert}.w2.weight`, shape: [hidden, width] },
    ]).flat(),
    ...(shared === 0 ? [] : feedForwardTensors(`${prefix}.shared_expert`, hidden, shared)),
    ...(moe.shared_gate
      ? [{ name: `${prefix}.shared_expert_gate.weight`, shape: [1, hidden] }]
      : []),
  ];
}

/** A SwiGLU network's three matrices. */
export function feedForwardTensors(prefix: string, hidden: number, width: number): RunTensor[] {
  return [
    { name: `${prefix}.gate_proj.weight`, shape: [width, hidden] },
    { name: `${prefix}.up_proj.weight`, shape: [width, hidden] },
    { name: `${prefix}.down_proj.weight`, shape: [hidden, width] },
  ];
}
