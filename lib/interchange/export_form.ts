/** Chooses the form of a run in transformers: the family whose block computes the same. @module */

import type { TrainConfig } from "../config/config.ts";
import { denseWidth, sharedWidth } from "../config/layer_widths.ts";
import { ConfigError } from "../errors.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { routerLabel } from "../moe/router_of.ts";
import type { RouterName } from "../moe/routers.ts";
import { FAMILIES, type ModelType } from "./families.ts";
import { MODELING_FILE, RELU_CLASS, RELU_MODELING } from "./relu_modeling.ts";
import { feedForwardTensors, runTensors } from "./run_tensors.ts";

/** A tensor of an export. */
export interface ExportTensor {
  /** Its name in the family. */
  readonly name: string;
  readonly shape: readonly number[];
  /** The run's tensor; null for zeros. */
  readonly source: string | null;
  /** What its values are multiplied by: a power of two, which is exact. */
  readonly scale: number;
}

/** A run as transformers writes it. */
export interface ExportForm {
  readonly type: ModelType;
  /** A sentence on why this form. */
  readonly reason: string;
  /** The keys of `config.json` that are not common to all. */
  readonly keys: Readonly<Record<string, unknown>>;
  readonly tensors: readonly ExportTensor[];
  /** Further files by name. */
  readonly files: Readonly<Record<string, string>>;
}

/** The form of each router's runs in transformers, or why there is none. */
const FORMS: Readonly<Record<RouterName, ((config: TrainConfig) => ExportForm) | string>> = {
  dense: denseForm,
  topk: topkForm,
  relu: reluForm,
  hash: "it routes by the token's id, which no family's router sees",
  lory: "it merges experts by segments of the sequence, which no family does",
  sparsemixer: "its gates are those of masked softmaxes, one after the other, which no family has",
  "expert-choice": "it routes a token by the tokens after it, so no text can be generated",
  sigmoid: "it chooses by sigmoid scores and biases, which the families written here do not have",
};

/**
 * Chooses a run's form.
 *
 * @param config The run's configuration.
 * @returns The form.
 * @throws {ConfigError} No form computes the same; says why.
 */
export function exportForm(config: TrainConfig): ExportForm {
  const { router } = config.moe;
  const form = Object.hasOwn(FORMS, router)
    ? FORMS[router as RouterName]
    : "its code is in a file of its own, which transformers cannot run";
  if (typeof form === "string") throw refused(config, form);
  return form(config);
}

function refused({ moe }: TrainConfig, reason: string): ConfigError {
  return new ConfigError(`Cannot export the router ${routerLabel(moe.router)}: ${reason}`);
}

/** What a block may have beyond Llama's plain one. */
const OPTIONS = ["head_dim", "qkv_bias", "qk_norm", "clip_qkv"] as const;

type Option = typeof OPTIONS[number];

/** Refuses a block that has more than a family's. */
function requireOnly({ model }: TrainConfig, type: ModelType, ...allowed: Option[]): void {
  const used = OPTIONS.filter((key) => ![null, false, "none"].includes(model[key] as null));
  const other = used.find((key) => !allowed.includes(key));
  if (other === undefined) return;
  throw new ConfigError(
    `Cannot export the run: model.${other} is ${model[other]}, which ${FAMILIES[type].name}, the ` +
      `family of its other settings, does not have`,
  );
}

function denseForm(config: TrainConfig): ExportForm {
  requireOnly(config, "llama", "head_dim");
  return {
    type: "llama",
    reason: "The model is dense: it is Llama's block.",
    keys: { intermediate_size: config.model.ffn, attention_bias: false, mlp_bias: false },
    tensors: namedTensors(config, "llama"),
    files: {},
  };
}

/** Mixtral divides a token's gates by their sum; Qwen2-MoE need not, and has a shared expert. */
function topkForm(config: TrainConfig): ExportForm {
  const { model: { qk_norm, qkv_bias }, moe: { renormalize, gate_scale: scale } } = config;
  if (scale !== 1) throw refused(config, `moe.gate_scale is ${scale}, and no family scales gates`);
  if (qk_norm !== "none") return normedForm(config, qk_norm === "full" ? "olmoe" : "qwen3_moe");
  const isPlain = sharedWidth(config) === 0 && !qkv_bias && config.moe.dense_layers.length === 0;
  return renormalize && isPlain ? mixtralForm(config) : qwenForm(config);
}

/** OLMoE has norms over all heads and a limit, Qwen3-MoE over each; neither has a shared expert. */
function normedForm(config: TrainConfig, type: "olmoe" | "qwen3_moe"): ExportForm {
  const { model: { clip_qkv: clip }, moe } = config;
  const isOlmoe = type === "olmoe";
  requireOnly(config, type, "qk_norm", isOlmoe ? "clip_qkv" : "head_dim");
  if (sharedWidth(config) > 0) {
    throw refused(
      config,
      `with such norms it is ${FAMILIES[type].name}, which has no shared expert`,
    );
  }
  if (isOlmoe) refuseDenseLayers(config, type);
  const { experts, active } = routedSizes(moe);
  const width = expertWidth(config);
  return {
    type,
    reason: `Queries and keys are normed ${isOlmoe ? "over all heads" : "over each head"}, as in ` +
      `${FAMILIES[type].name}.`,
    keys: {
      ...(isOlmoe ? { intermediate_size: width, clip_qkv: clip } : {
        intermediate_size: denseWidth(config),
        moe_intermediate_size: width,
        decoder_sparse_step: 1,
        mlp_only_layers: moe.dense_layers,
        use_sliding_window: false,
        sliding_window: null,
      }),
      attention_bias: false,
      num_experts: experts,
      num_experts_per_tok: active,
      norm_topk_prob: moe.renormalize,
    },
    tensors: namedTensors(config, type),
    files: {},
  };
}

/** Refuses dense layers among sparse ones. */
function refuseDenseLayers(config: TrainConfig, type: ModelType): void {
  const { dense_layers: layers } = config.moe;
  if (layers.length === 0) return;
  throw refused(
    config,
    `moe.dense_layers is ${JSON.stringify(layers)}, which ${FAMILIES[type].name} does not have`,
  );
}

function mixtralForm(config: TrainConfig): ExportForm {
  requireOnly(config, "mixtral", "head_dim");
  const { experts, active } = routedSizes(config.moe);
  return {
    type: "mixtral",
    reason: "A token's gates are divided by their sum, as Mixtral does.",
    keys: {
      intermediate_size: expertWidth(config),
      num_local_experts: experts,
      num_experts_per_tok: active,
      sliding_window: null,
    },
    tensors: namedTensors(config, "mixtral"),
    files: {},
  };
}

/** Gates a shared expert by sigmoid(0) = 1/2: its outputs are doubled in turn. */
const UNDO_GATE = 2;

function qwenForm(config: TrainConfig): ExportForm {
  requireOnly(config, "qwen2_moe", "head_dim", "qkv_bias");
  const { model: { hidden, layers }, moe } = config;
  const shared = sharedWidth(config);
  const { experts, active } = routedSizes(moe);
  const prefixes = Array.from({ length: layers }, (_, layer) => layer)
    .filter((layer) => !moe.dense_layers.includes(layer))
    .map((layer) => `model.layers.${layer}.mlp`);
  const zeros = (name: string, shape: readonly number[]): ExportTensor => ({
    name,
    shape,
    source: null,
    scale: 1,
  });
  // The family has no MoE layer without a shared expert: one of zeros adds nothing.
  const empty = shared > 0
    ? []
    : prefixes.flatMap((prefix) =>
      feedForwardTensors(`${prefix}.shared_expert`, hidden, 1)
        .map(({ name, shape }) => zeros(name, shape))
    );
  const own = namedTensors(config, "qwen2_moe").map((tensor) =>
    !moe.shared_gate && tensor.name.endsWith("shared_expert.down_proj.weight")
      ? { ...tensor, scale: UNDO_GATE }
      : tensor
  );
  return {
    type: "qwen2_moe",
    reason: moe.renormalize
      ? "Qwen2-MoE has what Mixtral lacks besides gates that are divided by their sum."
      : "Gates are softmax probabilities that are not divided by their sum, as Qwen2-MoE allows.",
    keys: {
      intermediate_size: denseWidth(config),
      moe_intermediate_size: expertWidth(config),
      shared_expert_intermediate_size: shared > 0 ? shared : 1,
      num_experts: experts,
      num_experts_per_tok: active,
      norm_topk_prob: moe.renormalize,
      qkv_bias: config.model.qkv_bias,
      decoder_sparse_step: 1,
      mlp_only_layers: moe.dense_layers,
      use_sliding_window: false,
      sliding_window: null,
    },
    tensors: [
      ...own,
      ...empty,
      ...(moe.shared_gate
        ? []
        : prefixes.map((prefix) => zeros(`${prefix}.shared_expert_gate.weight`, [1, hidden]))),
    ],
    files: {},
  };
}

function reluForm(config: TrainConfig): ExportForm {
  requireOnly(config, "mixtral", "head_dim");
  refuseDenseLayers(config, "mixtral");
  const { moe } = config;
  if (moe.shared_gate) throw refused(config, "the Python file has no gate of shared experts");
  const { experts, active } = routedSizes(moe);
  return {
    type: "mixtral",
    reason: "ReLU routing is Mixtral with another router, which the Python file brings.",
    keys: {
      architectures: [RELU_CLASS],
      auto_map: { AutoModelForCausalLM: `${MODELING_FILE.replace(/\.py$/, "")}.${RELU_CLASS}` },
      intermediate_size: expertWidth(config),
      num_local_experts: experts,
      // Without the Python file, Mixtral's own router would compute something else: it fails instead.
      num_experts_per_tok: experts + 1,
      sliding_window: null,
      remoe_gate: moe.activation,
      remoe_active: active,
      remoe_shared_width: sharedWidth(config),
    },
    tensors: namedTensors(config, "mixtral"),
    files: { [MODELING_FILE]: RELU_MODELING },
  };
}

function expertWidth({ model, moe }: TrainConfig): number {
  return model.ffn / moe.granularity;
}

/** The run's own tensors under a family's names. */
function namedTensors(config: TrainConfig, type: ModelType): ExportTensor[] {
  const { tensorName } = FAMILIES[type];
  return runTensors(config)
    .map(({ name, shape }) => ({ name: tensorName(name), shape, source: name, scale: 1 }));
}
