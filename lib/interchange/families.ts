/** The families of Hugging Face models: how each writes its configuration and names its weights. @module */

import { ConfigError } from "../errors.ts";
import type { ConfigReader } from "./config_reader.ts";
import { readPositions } from "./read_positions.ts";
import type { SourceBlock, SourceExperts } from "./source_block.ts";

/** The model types that can be read. */
export type ModelType = "llama" | "mixtral" | "olmoe" | "qwen2_moe" | "qwen3_moe";

/** A family of models. */
export interface Family {
  /** Its name. */
  readonly name: string;
  /** The class that transformers builds. */
  readonly architecture: string;
  /** Defaults of keys that older files leave out. */
  readonly defaults: { readonly epsilon: number; readonly theta: number };
  /** Reads what is the family's own. */
  readonly read: (reader: ConfigReader, layers: number) => FamilyPart;
  /** Turns a run's name of a tensor into the family's. */
  readonly tensorName: (name: string) => string;
}

/** What {@linkcode Family.read} reads. */
type FamilyPart = Pick<SourceBlock, "ffn" | "qkvBias" | "qkNorm" | "clipQkv" | "experts">;

const PLAIN = { qkvBias: false, qkNorm: "none", clipQkv: null } as const;

/** All families. */
export const FAMILIES: Readonly<Record<ModelType, Family>> = {
  llama: {
    name: "Llama",
    architecture: "LlamaForCausalLM",
    defaults: { epsilon: 1e-6, theta: 1e4 },
    read: (reader) => {
      refuseTrue(reader, "attention_bias");
      refuseTrue(reader, "mlp_bias");
      return { ...PLAIN, ffn: reader.size("intermediate_size"), experts: null };
    },
    tensorName: (name) => name,
  },
  mixtral: {
    name: "Mixtral",
    architecture: "MixtralForCausalLM",
    defaults: { epsilon: 1e-5, theta: 1e6 },
    read: (reader) => {
      const width = reader.size("intermediate_size");
      return { ...PLAIN, ffn: width, experts: readMixtralExperts(reader, width) };
    },
    tensorName: (name) => name,
  },
  olmoe: {
    name: "OLMoE",
    architecture: "OlmoeForCausalLM",
    defaults: { epsilon: 1e-5, theta: 1e4 },
    read: (reader) => {
      refuseTrue(reader, "attention_bias");
      const width = reader.size("intermediate_size");
      const clip = reader.value("clip_qkv") === null ? null : reader.number("clip_qkv", 1);
      return {
        ffn: width,
        qkvBias: false,
        qkNorm: "full",
        clipQkv: clip,
        experts: readExperts(reader, width),
      };
    },
    tensorName: mlpName,
  },
  qwen2_moe: {
    name: "Qwen2-MoE",
    architecture: "Qwen2MoeForCausalLM",
    defaults: { epsilon: 1e-6, theta: 1e4 },
    read: (reader, layers) => ({
      ...PLAIN,
      ffn: reader.size("intermediate_size"),
      qkvBias: reader.flag("qkv_bias", true),
      experts: {
        ...readExperts(reader, reader.size("moe_intermediate_size")),
        sharedWidth: reader.size("shared_expert_intermediate_size"),
        sharedGate: true,
        denseLayers: readDenseLayers(reader, layers),
      },
    }),
    tensorName: mlpName,
  },
  qwen3_moe: {
    name: "Qwen3-MoE",
    architecture: "Qwen3MoeForCausalLM",
    defaults: { epsilon: 1e-6, theta: 1e4 },
    read: (reader, layers) => {
      refuseTrue(reader, "attention_bias");
      return {
        ffn: reader.size("intermediate_size"),
        qkvBias: false,
        qkNorm: "head",
        clipQkv: null,
        experts: {
          ...readExperts(reader, reader.size("moe_intermediate_size")),
          denseLayers: readDenseLayers(reader, layers),
        },
      };
    },
    tensorName: mlpName,
  },
};

/** A source model and its family. */
export interface Source {
  readonly type: ModelType;
  readonly family: Family;
  readonly block: SourceBlock;
}

/**
 * Reads a model's configuration.
 *
 * @param reader The open `config.json`.
 * @param sequence Longest sequence to use the model with; undefined: the longest it was made for.
 * @returns What the model computes.
 * @throws {ConfigError} Names the first key that is missing, wrong or not supported.
 */
export function readSource(reader: ConfigReader, sequence?: number): Source {
  const given = reader.value("model_type");
  if (given === null && reader.has("moe") && reader.has("data")) {
    throw new ConfigError(
      `Cannot import ${reader.path}: it is the configuration of a run, which needs no import`,
    );
  }
  if (typeof given !== "string" || !Object.hasOwn(FAMILIES, given)) {
    reader.refuse("model_type", `expected one of ${Object.keys(FAMILIES).join(", ")}`);
  }
  const type = given as ModelType;
  const family = FAMILIES[type];
  const activation = reader.text("hidden_act", "silu");
  if (activation !== "silu" && activation !== "swish") {
    reader.refuse("hidden_act", `expected "silu": experts and dense networks are SwiGLU`);
  }
  const [hidden, heads] = [reader.size("hidden_size"), reader.size("num_attention_heads")];
  const layers = reader.size("num_hidden_layers");
  const block: SourceBlock = {
    layers,
    hidden,
    heads,
    groups: reader.optionalSize("num_key_value_heads") ?? defaultGroups(reader, type, heads),
    headDim: reader.optionalSize("head_dim") ?? hidden / heads,
    vocabulary: reader.size("vocab_size"),
    normEpsilon: reader.number("rms_norm_eps", family.defaults.epsilon),
    initDeviation: reader.number("initializer_range", 0.02),
    ...readPositions(reader, family.defaults.theta, sequence),
    tied: reader.flag("tie_word_embeddings", false),
    ...family.read(reader, layers),
  };
  reader.refuseOthers();
  return { type, family, block };
}

/** Llama and OLMoE have as many groups as heads unless they say otherwise; others state them. */
function defaultGroups(reader: ConfigReader, type: ModelType, heads: number): number {
  return type === "llama" || type === "olmoe" ? heads : reader.size("num_key_value_heads");
}

function readExperts(reader: ConfigReader, width: number): SourceExperts {
  return {
    count: reader.optionalSize("num_experts") ?? reader.size("num_local_experts"),
    active: reader.size("num_experts_per_tok"),
    width,
    renormalize: reader.flag("norm_topk_prob", false),
    activation: null,
    sharedWidth: 0,
    sharedGate: false,
    denseLayers: [],
  };
}

/** Mixtral always divides a token's gates by their sum; an export of a ReLU run says so. */
function readMixtralExperts(reader: ConfigReader, width: number): SourceExperts {
  const count = reader.optionalSize("num_local_experts") ?? reader.size("num_experts");
  const gate = reader.value("remoe_gate");
  // An export of a ReLU run states there what Mixtral's own router refuses.
  const active = reader.size("num_experts_per_tok");
  const experts = {
    count,
    active: gate === null ? active : reader.size("remoe_active"),
    width,
    sharedGate: false,
    denseLayers: [],
  };
  if (gate === null) return { ...experts, renormalize: true, activation: null, sharedWidth: 0 };
  if (gate !== "relu" && gate !== "relu-squared" && gate !== "tanh") {
    reader.refuse("remoe_gate", "expected one of relu, relu-squared, tanh");
  }
  reader.value("auto_map");
  const sharedWidth = reader.value("remoe_shared_width") === 0
    ? 0
    : reader.size("remoe_shared_width");
  return { ...experts, renormalize: false, activation: gate, sharedWidth };
}

/** The layers that are dense: those listed, and all but every n-th. */
function readDenseLayers(reader: ConfigReader, layers: number): number[] {
  const listed = reader.value("mlp_only_layers") ?? [];
  const step = reader.optionalSize("decoder_sparse_step") ?? 1;
  if (!Array.isArray(listed) || !listed.every(Number.isSafeInteger)) {
    reader.refuse("mlp_only_layers", "expected a list of layers");
  }
  return Array.from({ length: layers }, (_, layer) => layer)
    .filter((layer) => (listed as number[]).includes(layer) || (layer + 1) % step !== 0);
}

function refuseTrue(reader: ConfigReader, key: string): void {
  if (reader.flag(key, false)) reader.refuse(key, "which this project's block does not have");
}

/** Renames experts as OLMoE and Qwen do: within `mlp`, each projection as in a dense network. */
function mlpName(name: string): string {
  return name
    .replace(".block_sparse_moe.", ".mlp.")
    .replace(
      /\.(w[123])\.weight$/,
      (_, which: keyof typeof PROJECTIONS) => `.${PROJECTIONS[which]}.weight`,
    );
}

const PROJECTIONS = { w1: "gate_proj", w2: "down_proj", w3: "up_proj" } as const;
