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
 * @throws {ConfigError} The keys contradict each other.
 */
export function configOfSource(
  reader: ConfigReader,
  block: SourceBlock,
  tokenizer: TokenizerFile,
): TrainConfig {
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
    moe: experts === null ? { router: "dense" } : expertKeys(experts, block.ffn),
    data: { tokenizer: "file", tokenizer_file: tokenizer, sequence: block.sequence },
  }, { source: reader.path });
}

function expertKeys(source: SourceExperts, denseFfn: number): object {
  const { count, active, renormalize, activation, sharedWidth, sharedGate, denseLayers } = source;
  return {
    ...{ experts: count, active, granularity: 1, shared: 0 },
    ...(activation === null ? { router: "topk", renormalize } : { router: "relu", activation }),
    shared_ffn: sharedWidth > 0 ? sharedWidth : null,
    shared_gate: sharedGate,
    dense_layers: denseLayers,
    dense_ffn: denseLayers.length > 0 ? denseFfn : null,
  };
}
