/**
 * The shape of a training configuration, as stored in a run's `config.json`.
 *
 * @module
 */

import type { TokenizerFile } from "../data/tokenizer/tokenizer_file.ts";
import type { RouterFile } from "../moe/router_file.ts";
import type { RouterName, RouterPath, RouterSettings } from "../moe/routers.ts";
import type { QkNormName } from "../nn/qkv_options.ts";

/** The names of the presets, smallest model first. */
export type PresetName = "pico" | "nano" | "tiny" | "182m" | "469m" | "978m";

/** The names of the tokenizers; `file` is a `tokenizer.json` that the run carries. */
export type TokenizerName = "byte" | "gpt2" | "file";

/** When the backward pass recomputes the experts' pre-activations. */
export type RecomputeName = "auto" | "always" | "never";

/**
 * The type that a model computes in; `auto` takes bf16 where the device has a unit for its products
 * and the model is large enough to gain, else f32.
 */
export type DTypeName = "auto" | "f32" | "bf16";

/** Kind of device to train on; `auto` takes CUDA if available, else the CPU. */
export type DeviceName = "auto" | "cpu" | "cuda";

/** The sizes of the transformer. */
export interface ModelConfig {
  /** Transformer blocks. */
  readonly layers: number;
  /** Width of the residual stream. */
  readonly hidden: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads; divides `heads`. */
  readonly groups: number;
  /** Size of a head, even since rotary embeddings rotate pairs; null for `hidden / heads`. */
  readonly head_dim: number | null;
  /** Whether a bias is added to queries, keys and values. */
  readonly qkv_bias: boolean;
  /** Norms of queries and keys before they are rotated: over all heads together, or over each. */
  readonly qk_norm: QkNormName;
  /** Largest size of an element of queries, keys and values; null for no limit. */
  readonly clip_qkv: number | null;
  /** Whether the output head is the embedding, one parameter with both gradients. */
  readonly tied: boolean;
  /** Width of a dense model's SwiGLU and of each full-size expert; by default `4 * hidden`. */
  readonly ffn: number;
  /** Rows of the embedding; by default the tokenizer's vocabulary. */
  readonly vocabulary: number;
  /** Standard deviation of the initial weights; by default `0.01 * sqrt(768 / hidden)`. */
  readonly init_std: number;
  /** Base of the rotary embedding's wavelengths. */
  readonly rope_base: number;
  /** Epsilon that RMSNorm adds to the mean square. */
  readonly norm_epsilon: number;
  /**
   * Type of activations, their gradients and what products read. Weights, their gradients, routers,
   * statistics and losses are fp32 in either. A run keeps the type that it began with.
   */
  readonly dtype: DTypeName;
}

/** The experts, the router, and the settings that keep it sparse and balanced. */
export interface MoEConfig extends RouterSettings {
  /** Router that selects the experts of each token: one of the library's, or a file. */
  readonly router: RouterName | RouterPath;
  /** Description of the router file; present only if `router` is one. */
  readonly router_file?: RouterFile | undefined;
  /** Full-size experts per layer, E; the layer has `experts * granularity` smaller ones. */
  readonly experts: number;
  /** Full-size experts per token on average, k; the target sparsity is `1 - k/E`. */
  readonly active: number;
  /** Number of parts each expert is split into, G; each is `ffn / G` wide. */
  readonly granularity: number;
  /**
   * Experts of width `ffn / G` that every token uses besides those it is routed to. They count in
   * `active`: the router chooses `active * granularity - shared` experts.
   */
  readonly shared: number;
  /**
   * Width of an expert that every token uses besides, apart from `active`, in place of `shared`; null
   * for none.
   */
  readonly shared_ffn: number | null;
  /** Whether the shared experts' output is multiplied by `sigmoid(x W)`, with a weight of its own. */
  readonly shared_gate: boolean;
  /** Layers, from 0, that have one dense network in place of experts; ascending. */
  readonly dense_layers: readonly number[];
  /** Width of that network; null for `model.ffn`. */
  readonly dense_ffn: number | null;
  /** Standard deviation of the router's initial weights. Default `model.init_std`. */
  readonly router_std: number;
}

/** The weights that a run starts from. */
export interface InitConfig {
  /** Run, or folder of a checkpoint, whose weights the run takes; absolute. Null: random weights. */
  readonly from: string | null;
  /**
   * Deviation of the noise added to experts that are copied from a dense layer, relative to the root
   * mean square of the layer's weights.
   */
  readonly noise: number;
  /**
   * Whether copied experts are scaled so that what a layer puts out keeps its mean size under the
   * new router's gates.
   */
  readonly rescale: boolean;
}

/** The text and its division into batches. */
export interface DataConfig {
  /**
   * Text files, folders or patterns, absolute, each optionally written `domain=path`. If empty, the
   * bundled text.
   */
  readonly paths: readonly string[];
  /** Same, for the validation text. If empty, a share of the documents of `paths` is held out. */
  readonly validation_paths: readonly string[];
  /** How often each domain is drawn, as a multiple of its share of the text. Default 1. */
  readonly weights: Readonly<Record<string, number>>;
  /** Tokenizer of the text. */
  readonly tokenizer: TokenizerName;
  /** Description of the tokenizer's file; present only if `tokenizer` is `file`. */
  readonly tokenizer_file?: TokenizerFile | undefined;
  /** Sequences per optimizer step. */
  readonly batch: number;
  /** Tokens per sequence. */
  readonly sequence: number;
  /**
   * Sequences per forward pass. Divides `batch`; gradients are accumulated over the micro-batches.
   * By default the largest divisor that keeps a micro-batch within 16,384 tokens, as in the paper.
   */
  readonly micro_batch: number;
  /** Share of the documents held out for validation. */
  readonly validation_fraction: number;
  /** Folder of the token shards, absolute; null for the user's cache folder. */
  readonly cache: string | null;
}

/** AdamW and gradient clipping. */
export interface OptimizerConfig {
  /** Peak learning rate. */
  readonly lr: number;
  /** Decay of the first moment. */
  readonly beta1: number;
  /** Decay of the second moment. */
  readonly beta2: number;
  /** Added to the square root of the second moment. */
  readonly epsilon: number;
  /** Decoupled weight decay; not applied to norms. */
  readonly weight_decay: number;
  /** Maximum global gradient norm; 0 disables clipping. */
  readonly clip: number;
}

/** The learning-rate schedule. */
export interface ScheduleConfig {
  /** The curve after the warmup. */
  readonly kind: "cosine";
  /** Steps of linear warmup from 0. */
  readonly warmup: number;
  /** Learning rate of the last step, relative to the peak. */
  readonly final_ratio: number;
}

/** The memory limit of a run, and how it stays within it. */
export interface MemoryConfig {
  /** GiB of device memory; null for 85 % of the device's. */
  readonly limit_gib: number | null;
  /**
   * Whether the backward pass recomputes the experts' pre-activations instead of keeping them:
   * `auto` for the routed rows that do not fit the limit, `always`, or `never`. Recomputing takes
   * time and does not change the results.
   */
  readonly recompute: RecomputeName;
}

/** When to save. */
export interface CheckpointConfig {
  /** Steps between checkpoints; 0 saves only at the end. */
  readonly every: number;
  /** How many of the newest checkpoints to keep; 0 keeps all. */
  readonly keep: number;
}

/** When and how long to validate. */
export interface ValidationConfig {
  /** Steps between validations; 0 disables them. */
  readonly every: number;
  /** Micro-batches per validation. */
  readonly batches: number;
}

/** When to measure routing flips. */
export interface FlipsConfig {
  /**
   * Steps between measurements of how much of the routing a single step changes, on a fixed
   * micro-batch of held-out text; 0 disables them.
   */
  readonly every: number;
}

/** When and how to sample text from the model. */
export interface SampleConfig {
  /** Steps between samples; 0 samples only at the end. */
  readonly every: number;
  /** Tokens to draw. */
  readonly tokens: number;
  /** Divisor of the logits; 0 always takes the likeliest token. */
  readonly temperature: number;
  /** Text to continue; if empty, a new document is started. */
  readonly prompt: string;
}

/** What is logged besides `metrics.jsonl`, which is always written. */
export interface LogConfig {
  /** Whether to write TensorBoard event files as well, in the run's folder `tensorboard`. */
  readonly tensorboard: boolean;
}

/** A complete, checked configuration: plain JSON, which `parseConfig()` returns unchanged. */
export interface TrainConfig {
  /** The preset that supplied the missing values. */
  readonly preset: PresetName;
  /** Optimizer steps of the whole run. */
  readonly steps: number;
  /** Seed of the weights, the shuffle and the samples. */
  readonly seed: number;
  /** Kind of device to train on. */
  readonly device: DeviceName;
  /** CPU threads; 0 for one per core. */
  readonly threads: number;
  /** The run directory, absolute; null for a new one under `runs/`. */
  readonly out: string | null;
  /** The sizes of the transformer. */
  readonly model: ModelConfig;
  /** The experts and the router. */
  readonly moe: MoEConfig;
  /** The weights to start from. */
  readonly init: InitConfig;
  /** The text and its batches. */
  readonly data: DataConfig;
  /** AdamW and clipping. */
  readonly optimizer: OptimizerConfig;
  /** The learning-rate schedule. */
  readonly schedule: ScheduleConfig;
  /** Device memory. */
  readonly memory: MemoryConfig;
  /** When to save. */
  readonly checkpoint: CheckpointConfig;
  /** When to validate. */
  readonly validation: ValidationConfig;
  /** When to measure routing flips. */
  readonly flips: FlipsConfig;
  /** When to sample. */
  readonly sample: SampleConfig;
  /** What is logged. */
  readonly log: LogConfig;
}

/** A section of a {@linkcode ConfigLayer}: any of its keys; `Derived` ones may be `"auto"`. */
export type LayerSection<Section, Derived extends keyof Section = never> = {
  readonly [Key in keyof Section]?:
    | Section[Key]
    | (Key extends Derived ? "auto" : never)
    | undefined;
};

/**
 * Part of a configuration: a preset, a file or the flags. `"auto"` asks for the default derived
 * from other keys, even if a lower layer sets a value.
 */
export interface ConfigLayer {
  /** The preset to start from. */
  readonly preset?: PresetName | undefined;
  /** Optimizer steps of the whole run. */
  readonly steps?: number | undefined;
  /** Seed of the weights, the shuffle and the samples. */
  readonly seed?: number | undefined;
  /** Kind of device to train on. */
  readonly device?: DeviceName | undefined;
  /** CPU threads; 0 for one per core. */
  readonly threads?: number | undefined;
  /** The run directory. */
  readonly out?: string | null | undefined;
  /** The sizes of the transformer. */
  readonly model?: LayerSection<ModelConfig, "ffn" | "vocabulary" | "init_std"> | undefined;
  /** The experts and the router. */
  readonly moe?: LayerSection<MoEConfig, "lambda_floor" | "router_std"> | undefined;
  /** The weights to start from. */
  readonly init?: LayerSection<InitConfig> | undefined;
  /** The text and its batches. */
  readonly data?: LayerSection<DataConfig, "micro_batch"> | undefined;
  /** AdamW and clipping. */
  readonly optimizer?: LayerSection<OptimizerConfig> | undefined;
  /** The learning-rate schedule. */
  readonly schedule?: LayerSection<ScheduleConfig> | undefined;
  /** Device memory. */
  readonly memory?: LayerSection<MemoryConfig> | undefined;
  /** When to save. */
  readonly checkpoint?: LayerSection<CheckpointConfig> | undefined;
  /** When to validate. */
  readonly validation?: LayerSection<ValidationConfig> | undefined;
  /** When to measure routing flips. */
  readonly flips?: LayerSection<FlipsConfig> | undefined;
  /** When to sample. */
  readonly sample?: LayerSection<SampleConfig> | undefined;
  /** What is logged. */
  readonly log?: LayerSection<LogConfig> | undefined;
}
