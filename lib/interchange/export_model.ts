/** Writes a run as a Hugging Face model. @module */

import { requirePath } from "../arguments.ts";
import { Checkpoint } from "../checkpoint/checkpoint.ts";
import { PIECE } from "../checkpoint/finite_values.ts";
import { checkWrittenUnder } from "../checkpoint/resume.ts";
import type { SafetensorsFile } from "../checkpoint/safetensors.ts";
import { type TensorEntry, writeSafetensors } from "../checkpoint/write_safetensors.ts";
import type { TrainConfig } from "../config/config.ts";
import { openTokenizer } from "../data/tokenizer/open_tokenizer.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { CheckpointError } from "../errors.ts";
import { writeAtomically } from "../files.ts";
import { CHECKPOINTS, CONFIG, findRun } from "../run/find_run.ts";
import { elementCount } from "../tensor/shape_math.ts";
import { listed } from "../visible.ts";
import { type ExportForm, exportForm, type ExportTensor } from "./export_form.ts";
import { tokenizerFiles } from "./export_tokenizer.ts";
import { FAMILIES } from "./families.ts";
import { modelCard } from "./model_card.ts";
import { createFolder, requireEmpty } from "./new_folder.ts";
import { runTensors } from "./run_tensors.ts";
import { WEIGHTS } from "./tensor_folder.ts";

/** What {@linkcode exportModel} made. */
export interface ExportedModel {
  /** The folder. */
  readonly path: string;
  /** The family, such as Mixtral. */
  readonly family: string;
  /** Why this family: a sentence. */
  readonly reason: string;
  /** Training steps completed at the checkpoint. */
  readonly step: number;
  /** Whether transformers must be told to trust the folder's Python file. */
  readonly needsTrust: boolean;
}

/**
 * Writes a run as a Hugging Face model that computes the same: weights in fp32 as safetensors,
 * configurations, tokenizer, a model card with the run's figures, and for ReLU routing a Python file.
 *
 * A dense model becomes Llama; TopK becomes Mixtral if gates are divided by their sum, else
 * Qwen2-MoE; ReLU becomes Mixtral with a router of its own.
 *
 * @param run A run directory, for its newest checkpoint, or the directory of a checkpoint.
 * @param out The folder to create; it may exist if it is empty.
 * @returns What was made.
 * @throws {ConfigError} There is no run at the path, no family computes what its router does, or
 * `out` is not empty.
 * @throws {CheckpointError} There is no complete checkpoint, or it is damaged or of another model.
 * @throws {DataError} The tokenizer cannot be loaded.
 * @throws {FileError} The folder cannot be written; nothing is left behind.
 */
export async function exportModel(run: string, out: string): Promise<ExportedModel> {
  requirePath("export a run", "run", run);
  requirePath("export a run", "out", out);
  const { path, config, checkpoint: named } = findRun(run);
  const form = exportForm(config);
  requireEmpty("export to", out);
  using checkpoint = named === null
    ? Checkpoint.openNewest(`${path}/${CHECKPOINTS}`)
    : Checkpoint.open(named);
  checkWrittenUnder("Cannot export", checkpoint, config, `${path}/${CONFIG} holds now`);
  requireTensors(checkpoint.model, config);
  const { data } = config;
  const tokenizer = await openTokenizer(data.tokenizer, data.tokenizer_file);
  const { step, tokens } = checkpoint.state;
  const files: Readonly<Record<string, string>> = {
    [CONFIG]: jsonText(configOf(config, form, tokenizer)),
    "generation_config.json": jsonText(endsOf(tokenizer)),
    ...await tokenizerFiles(data, tokenizer),
    ...form.files,
    "README.md": modelCard({ path, config, form, step, tokens }),
  };
  createFolder("export to", out, (folder) => {
    for (const [name, text] of Object.entries(files)) writeAtomically(`${folder}/${name}`, text);
    const entries = entriesOf(checkpoint.model, form.tensors);
    writeSafetensors(`${folder}/${WEIGHTS}`, entries, { format: "pt" });
  });
  const { name: family } = FAMILIES[form.type];
  const needsTrust = Object.keys(form.files).length > 0;
  return { path: out, family, reason: form.reason, step, needsTrust };
}

/** The `config.json` of an export. */
function configOf(config: TrainConfig, form: ExportForm, tokenizer: Tokenizer): object {
  const { model, data } = config;
  return {
    architectures: [FAMILIES[form.type].architecture],
    model_type: form.type,
    vocab_size: model.vocabulary,
    hidden_size: model.hidden,
    num_hidden_layers: model.layers,
    num_attention_heads: model.heads,
    num_key_value_heads: model.groups,
    hidden_act: "silu",
    max_position_embeddings: data.sequence,
    // A float there, which JSON cannot tell from a whole number.
    ...(Number.isInteger(model.init_std) ? {} : { initializer_range: model.init_std }),
    rms_norm_eps: model.norm_epsilon,
    // Releases before 5 read the key at the top.
    rope_theta: model.rope_base,
    rope_parameters: { rope_type: "default", rope_theta: model.rope_base },
    attention_dropout: 0,
    tie_word_embeddings: model.tied,
    ...(model.head_dim === null ? {} : { head_dim: model.head_dim }),
    use_cache: true,
    dtype: "float32",
    ...endsOf(tokenizer),
    ...form.keys,
  };
}

function endsOf(
  { endOfDocument, beginOfDocument = endOfDocument }: Tokenizer,
): { bos_token_id: number; eos_token_id: number } {
  return { bos_token_id: beginOfDocument, eos_token_id: endOfDocument };
}

/** Refuses weights that are not those of the configuration. */
function requireTensors(file: SafetensorsFile, config: TrainConfig): void {
  const wanted = new Map(runTensors(config).map(({ name, shape }) => [name, shape.join()]));
  const wrong = [
    ...[...wanted].filter(([name, shape]) => file.tensors.get(name)?.shape.join() !== shape),
    ...[...file.tensors].filter(([name]) => !wanted.has(name)),
  ].map(([name]) => name);
  if (wrong.length === 0) return;
  throw new CheckpointError(
    `Cannot export ${file.path}: it holds other weights than its configuration says: ${
      listed(wrong)
    }`,
  );
}

function* entriesOf(
  file: SafetensorsFile,
  tensors: readonly ExportTensor[],
): Generator<TensorEntry> {
  const buffer = new Uint8Array(PIECE);
  for (const { name, shape, source, scale } of tensors) {
    const read = (): Uint8Array | Iterable<Uint8Array> =>
      source === null
        ? new Uint8Array(4 * elementCount(shape))
        : scaled(file.pieces(source, { dtype: "F32", shape }, buffer), scale);
    yield { name, dtype: "F32", shape, read };
  }
}

function* scaled(
  pieces: Iterable<Uint8Array<ArrayBuffer>>,
  scale: number,
): Generator<Uint8Array> {
  for (const piece of pieces) {
    if (scale !== 1) {
      const values = new Float32Array(piece.buffer, piece.byteOffset, piece.length / 4);
      for (let i = 0; i < values.length; i++) values[i]! *= scale;
    }
    yield piece;
  }
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
