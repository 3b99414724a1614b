/**
 * The shape of a training configuration: what a run's `config.json` holds.
 *
 * @module
 */

import type { RouterFile } from "../moe/router_file.ts";
import type { RouterName, RouterPath, RouterSettings } from "../moe/routers.ts";

/** The names of the presets, smallest model first. */
export type PresetName = "pico" | "nano" | "tiny" | "182m" | "469m" | "978m";

/** Which tokenizer turns text into tokens. */
export type TokenizerName = "byte" | "gpt2";

/** When the backward pass computes the experts' pre-activations again. */
export type RecomputeName = "auto" | "always" | "never";

/** Which kind of device trains; `auto` takes CUDA where there is one, else the CPU. */
export type DeviceName = "auto" | "cpu" | "cuda";

/** The sizes of the transformer. */
export interface ModelConfig {
  /** Transformer blocks. */
  readonly layers: number;
  /** Width of the residual stream. */
  readonly hidden: number;
  /** Query heads; `hidden / heads` is even, since rotary embedding turns pairs. */
  readonly heads: number;
  /** Key and value heads; divides `heads`. */
  readonly groups: number;
  /** Width of the dense SwiGLU and of each full-size expert; by default `4 * hidden`. */
  readonly ffn: number;
  /** Rows of the embedding; by default the tokenizer's vocabulary. */
  readonly vocabulary: number;
  /** Standard deviation of the initial weights; by default `0.01 * sqrt(768 / hidden)`. */
  readonly init_std: number;
  /** Base of the rotary embedding's wavelengths. */
  readonly rope_base: number;
  /** What RMSNorm adds to the mean square. */
  readonly norm_epsilon: number;
}

/** The experts, the router, and what keeps the router sparse and balanced. */
export interface MoEConfig extends RouterSettings {
  /** Which router chooses the experts of a token: one of the library's, or a file. */
  readonly router: RouterName | RouterPath;
  /** What the router's file says; there only where `router` is one. */
  readonly router_file?: RouterFile | undefined;
  /** Full-size experts a layer, E; the layer holds `experts * granularity`. */
  readonly experts: number;
  /** Full-size experts a token uses on average, k; the target sparsity is `1 - k/E`. */
  readonly active: number;
  /** How many parts each expert is split into, G; each is `ffn / G` wide. */
  readonly granularity: number;
}

/** The text and how it is cut into batches. */
export interface DataConfig {
  /**
   * Text files, folders of them or patterns, absolute, each as it is or as `domain=path`; none: the
   * bundled text.
   */
  readonly paths: readonly string[];
  /** The same for the text to validate on; none: a share of the documents of `paths`. */
  readonly validation_paths: readonly string[];
  /** How often a domain is drawn, as a multiple of its share of the text; 1 where not named. */
  readonly weights: Readonly<Record<string, number>>;
  /** Which tokenizer turns the text into tokens. */
  readonly tokenizer: TokenizerName;
  /** Sequences an optimizer step. */
  readonly batch: number;
  /** Tokens a sequence. */
  readonly sequence: number;
  /**
   * Sequences worked on at once; divides `batch`, the rest is gradient accumulation. By default
   * the largest divisor that keeps a micro-batch within 16,384 tokens, the paper's own.
   */
  readonly micro_batch: number;
  /** Share of the documents that is held out for validation. */
  readonly validation_fraction: number;
  /** Folder of the token shards, absolute; null: the user's cache folder. */
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
  /** What is added to the root of the second moment. */
  readonly epsilon: number;
  /** Decoupled weight decay; not applied to norms. */
  readonly weight_decay: number;
  /** Largest norm of the whole gradient; 0: no clipping. */
  readonly clip: number;
}

/** How the learning rate changes over the run. */
export interface ScheduleConfig {
  /** The curve after the warmup. */
  readonly kind: "cosine";
  /** Steps of linear warmup from 0. */
  readonly warmup: number;
  /** Learning rate of the last step over the peak. */
  readonly final_ratio: number;
}

/** How much device memory a run may take, and what it does to stay within. */
export interface MemoryConfig {
  /** GiB of device memory; null: 85 % of the device's. */
  readonly limit_gib: number | null;
  /**
   * Whether the backward pass computes the experts' pre-activations again instead of keeping them:
   * `auto` for the routed rows that do not fit the limit, `always`, or `never`. It takes time and
   * changes no result.
   */
  readonly recompute: RecomputeName;
}

/** When to save. */
export interface CheckpointConfig {
  /** Steps between checkpoints; 0: only at the end. */
  readonly every: number;
  /** How many of the newest to keep; 0: all. */
  readonly keep: number;
}

/** When and how long to validate. */
export interface ValidationConfig {
  /** Steps between validations; 0: never. */
  readonly every: number;
  /** Micro-batches of a validation. */
  readonly batches: number;
}

/** When and how to sample text from the model. */
export interface SampleConfig {
  /** Steps between samples; 0: only at the end. */
  readonly every: number;
  /** Tokens to draw. */
  readonly tokens: number;
  /** What logits are divided by; 0: always the likeliest token. */
  readonly temperature: number;
  /** Text to continue; empty: the start of a document. */
  readonly prompt: string;
}

/** What is written besides `metrics.jsonl`, which always is. */
export interface LogConfig {
  /** Whether figures also go to event files for TensorBoard, in the run's folder `tensorboard`. */
  readonly tensorboard: boolean;
}

/** A whole, checked configuration: plain JSON, which `parseConfig()` accepts again unchanged. */
export interface TrainConfig {
  /** The preset that supplied what was not given. */
  readonly preset: PresetName;
  /** Optimizer steps of the whole run. */
  readonly steps: number;
  /** Seed of the weights, the shuffle and the samples. */
  readonly seed: number;
  /** Which kind of device trains. */
  readonly device: DeviceName;
  /** CPU threads; 0: one a core. */
  readonly threads: number;
  /** The run directory, absolute; null: a new one under `runs/`. */
  readonly out: string | null;
  /** The sizes of the transformer. */
  readonly model: ModelConfig;
  /** The experts and the router. */
  readonly moe: MoEConfig;
  /** The text and its batches. */
  readonly data: DataConfig;
  /** AdamW and clipping. */
  readonly optimizer: OptimizerConfig;
  /** The learning rate's course. */
  readonly schedule: ScheduleConfig;
  /** Device memory. */
  readonly memory: MemoryConfig;
  /** When to save. */
  readonly checkpoint: CheckpointConfig;
  /** When to validate. */
  readonly validation: ValidationConfig;
  /** When to sample. */
  readonly sample: SampleConfig;
  /** Where figures go. */
  readonly log: LogConfig;
}

/** A section of a {@linkcode ConfigLayer}: any of its keys, where `Derived` ones may be `"auto"`. */
export type LayerSection<Section, Derived extends keyof Section = never> = {
  readonly [Key in keyof Section]?:
    | Section[Key]
    | (Key extends Derived ? "auto" : never)
    | undefined;
};

/**
 * Part of a configuration: a preset, a file or the flags. `"auto"` asks for the default that
 * follows from other keys, also over a lower layer that names a value.
 */
export interface ConfigLayer {
  /** The preset to start from. */
  readonly preset?: PresetName | undefined;
  /** Optimizer steps of the whole run. */
  readonly steps?: number | undefined;
  /** Seed of the weights, the shuffle and the samples. */
  readonly seed?: number | undefined;
  /** Which kind of device trains. */
  readonly device?: DeviceName | undefined;
  /** CPU threads; 0: one a core. */
  readonly threads?: number | undefined;
  /** The run directory. */
  readonly out?: string | null | undefined;
  /** The sizes of the transformer. */
  readonly model?: LayerSection<ModelConfig, "ffn" | "vocabulary" | "init_std"> | undefined;
  /** The experts and the router. */
  readonly moe?: LayerSection<MoEConfig, "lambda_floor"> | undefined;
  /** The text and its batches. */
  readonly data?: LayerSection<DataConfig, "micro_batch"> | undefined;
  /** AdamW and clipping. */
  readonly optimizer?: LayerSection<OptimizerConfig> | undefined;
  /** The learning rate's course. */
  readonly schedule?: LayerSection<ScheduleConfig> | undefined;
  /** Device memory. */
  readonly memory?: LayerSection<MemoryConfig> | undefined;
  /** When to save. */
  readonly checkpoint?: LayerSection<CheckpointConfig> | undefined;
  /** When to validate. */
  readonly validation?: LayerSection<ValidationConfig> | undefined;
  /** When to sample. */
  readonly sample?: LayerSection<SampleConfig> | undefined;
  /** Where figures go. */
  readonly log?: LayerSection<LogConfig> | undefined;
}
