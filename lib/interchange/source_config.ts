/** The configuration of the run that an imported model becomes. @module */

import type { TrainConfig } from "../config/config.ts";
import { parseConfig } from "../config/parse_config.ts";
import type { TokenizerFile } from "../data/tokenizer/tokenizer_file.ts";
import type { ConfigReader } from "./config_reader.ts";
import type { SourceBlock, SourceExperts } from "./source_block.ts";

/**
 * Turns a source model into a configuration.
 *
 * @param reader The `config.json`, for errors.
 * @param block The model.
 * @param tokenizer Its tokenizer.
 * @returns The configuration; its `out` is null.
 * @throws {ConfigError} Names the first key that asks for what this project's block does not have.
 */
export function configOfSource(
  reader: ConfigReader,
  block: SourceBlock,
  tokenizer: TokenizerFile,
): TrainConfig {
  refuseUnsupported(reader, block);
  const { layers, hidden, heads, groups, vocabulary, experts } = block;
  return parseConfig({
    model: {
      ...{ layers, hidden, heads, groups, vocabulary },
      head_dim: block.headDim === hidden / heads ? null : block.headDim,
      qkv_bias: block.qkvBias,
      qk_norm: block.qkNorm,
      clip_qkv: block.clipQkv,
      tied: block.tied,
      ffn: experts?.width ?? block.ffn,
      init_std: block.initDeviation,
      rope_base: block.ropeBase,
      norm_epsilon: block.normEpsilon,
    },
    moe: experts === null ? { router: "dense" } : expertKeys(experts),
    data: { tokenizer: "file", tokenizer_file: tokenizer, sequence: block.sequence },
  }, { source: reader.path });
}

function expertKeys(source: SourceExperts): object {
  const { count, active, renormalize, router, width, sharedWidth } = source;
  // Shared experts count in `active`.
  const shared = sharedWidth / width;
  const sizes = { experts: count, active: active + shared, granularity: 1, shared };
  return router === "topk"
    ? { ...sizes, router: "topk", renormalize }
    : { ...sizes, router: "relu", activation: router };
}

const LACKING = "which this project's block does not have";

function refuseUnsupported(reader: ConfigReader, block: SourceBlock): void {
  const { sharedWidth = 0, sharedGate, width = 1, denseLayers = [] } = block.experts ?? {};
  if (sharedGate && sharedWidth > 0) {
    reader.refuse("shared_expert_intermediate_size", `a gated shared expert, ${LACKING}`);
  }
  if (sharedWidth % width !== 0) {
    reader.refuse("remoe_shared_width", `expected a multiple of intermediate_size (${width})`);
  }
  if (denseLayers.length > 0) {
    const key = reader.value("mlp_only_layers") === null
      ? "decoder_sparse_step"
      : "mlp_only_layers";
    reader.refuse(key, `dense layers among sparse ones, ${LACKING}`);
  }
}
