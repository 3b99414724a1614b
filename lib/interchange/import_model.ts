/** Makes a run of a Hugging Face model. @module */

import { requireOptions, requirePath, requireWhole } from "../arguments.ts";
import { PIECE } from "../checkpoint/finite_values.ts";
import { configHash } from "../checkpoint/resume.ts";
import type { CheckpointState } from "../checkpoint/state.ts";
import { writeCheckpoint } from "../checkpoint/write_checkpoint.ts";
import type { TensorEntry } from "../checkpoint/write_safetensors.ts";
import type { TrainConfig } from "../config/config.ts";
import { openTokenizer } from "../data/tokenizer/open_tokenizer.ts";
import { describeTokenizerFile, type TokenizerFile } from "../data/tokenizer/tokenizer_file.ts";
import { ConfigError } from "../errors.ts";
import { exists, writeAtomically } from "../files.ts";
import { routerOf } from "../moe/router_of.ts";
import { CHECKPOINTS, CONFIG } from "../run/find_run.ts";
import { configText } from "../run/run_directory.ts";
import { copyTokenizer, TOKENIZER } from "../run/tokenizer_file.ts";
import { versions } from "../run/versions.ts";
import { elementCount, showShape } from "../tensor/shape_math.ts";
import { listed } from "../visible.ts";
import { ConfigReader } from "./config_reader.ts";
import { type Family, readSource } from "./families.ts";
import { readJsonObject } from "./json_file.ts";
import { createFolder, requireEmpty } from "./new_folder.ts";
import { type RunTensor, runTensors } from "./run_tensors.ts";
import type { SourceBlock } from "./source_block.ts";
import { configOfSource } from "./source_config.ts";
import { TensorFolder } from "./tensor_folder.ts";

/** Settings of {@linkcode importModel}. */
export interface ImportOptions {
  /** Longest sequence to use the model with. Default the longest it was made for. */
  readonly sequence?: number | undefined;
}

/** What {@linkcode importModel} made. */
export interface ImportedModel {
  /** The run directory. */
  readonly path: string;
  /** The model's family, such as Mixtral. */
  readonly family: string;
  /** The run's configuration. */
  readonly config: TrainConfig;
  /** Number of weights. */
  readonly parameters: number;
  /** Tensors that were not needed, and why. */
  readonly passedOver: readonly string[];
}

/**
 * Makes a run of a Hugging Face model: a folder with `config.json`, weights as safetensors of fp32,
 * bf16 or fp16, in one file or sharded, and `tokenizer.json`. The run has one checkpoint, at step 0,
 * in fp32, and carries the tokenizer.
 *
 * Everything but the values is checked before anything is written. What the model's `config.json`
 * asks for and this project's block does not have is an error, and so is any key that is not known.
 *
 * @param folder The model's folder.
 * @param out The run directory to create; it may exist if it is empty.
 * @param options The longest sequence.
 * @returns What was made.
 * @throws {ConfigError} The model is of no known family or needs what the block does not have, a
 * tensor is missing, unexpected or of another shape, or `out` is not empty.
 * @throws {CheckpointError} A weights file is damaged.
 * @throws {DataError} The tokenizer cannot be used.
 * @throws {FileError} The run cannot be written; nothing is left behind.
 */
export async function importModel(
  folder: string,
  out: string,
  options: ImportOptions = {},
): Promise<ImportedModel> {
  requirePath(OPERATION, "folder", folder);
  requirePath(OPERATION, "out", out);
  requireOptions(OPERATION, options, { sequence: true });
  const { sequence } = options;
  if (sequence !== undefined) requireWhole(OPERATION, "sequence", sequence, { least: 1 });
  if (!exists(folder)) throw new ConfigError(`Cannot import ${folder}: there is no such folder`);
  requireEmpty("import into", out);
  const reader = new ConfigReader(`${folder}/${CONFIG}`);
  const source = readSource(reader, sequence);
  const { family } = source;
  const block = withoutEmptyExpert(folder, source.block);
  const config = configOfSource(reader, block, await readTokenizer(folder, reader));
  using weights = TensorFolder.open(folder);
  const tensors = runTensors(config);
  const passedOver = requireTensors(weights, tensors, family, block === source.block);
  createFolder("import into", out, (path) => {
    copyTokenizer(config, path);
    writeAtomically(`${path}/${CONFIG}`, configText(config));
    writeCheckpoint(`${path}/${CHECKPOINTS}`, {
      state: stateOf(config),
      model: entriesOf(weights, tensors, family),
      optimizer: [],
    });
  });
  const parameters = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { path: out, family: family.name, config, parameters, passedOver };
}

const OPERATION = "import a model";

/** Describes the model's tokenizer, and opens it: one that cannot be used must not be carried. */
async function readTokenizer(folder: string, reader: ConfigReader): Promise<TokenizerFile> {
  const path = `${folder}/${TOKENIZER}`;
  if (!exists(path)) {
    throw new ConfigError(
      `Cannot import ${folder}: ${TOKENIZER} is missing; save the model's fast tokenizer there`,
    );
  }
  const generation = `${folder}/generation_config.json`;
  const defaults = exists(generation) ? readJsonObject(generation) : {};
  const end = firstId(reader.value("eos_token_id") ?? defaults["eos_token_id"]) ??
    reader.refuse("eos_token_id", "expected the id of the token that ends a text");
  const begin = firstId(reader.value("bos_token_id") ?? defaults["bos_token_id"]);
  const file = describeTokenizerFile(path, {
    end_of_document: end,
    begin_of_document: begin === end ? null : begin,
  });
  await openTokenizer("file", file);
  return file;
}

/** A token id, or the first of several; null for anything else. */
function firstId(value: unknown): number | null {
  const id = Array.isArray(value) ? value[0] : value;
  return Number.isSafeInteger(id) ? id as number : null;
}

/** The block without shared experts that add nothing, as an export of this project has them. */
function withoutEmptyExpert(folder: string, block: SourceBlock): SourceBlock {
  const { experts } = block;
  if (experts === null || !experts.sharedGate || experts.sharedWidth !== 1) return block;
  using weights = TensorFolder.open(folder);
  const buffer = new Uint8Array(PIECE);
  const outputs = [...weights.names].filter((name) =>
    name.endsWith(".shared_expert.down_proj.weight")
  );
  const areEmpty = outputs.every((name) =>
    weights.pieces(name, weights.spec(name)!.shape, buffer).every((piece) =>
      piece.every((byte) => byte === 0)
    )
  );
  return areEmpty
    ? { ...block, experts: { ...experts, sharedWidth: 0, sharedGate: false } }
    : block;
}

/** Tensors of old files that hold what is computed from the configuration. */
const COMPUTED = /\.rotary_emb\.inv_freq$/;
/** Those of shared experts. */
const SHARED = /\.mlp\.shared_expert(_gate)?\./;

/** Refuses weights that are not those of the model; lists what is passed over. */
function requireTensors(
  weights: TensorFolder,
  tensors: readonly RunTensor[],
  { name: family, tensorName }: Family,
  needsShared: boolean,
): string[] {
  const isNeedless = (name: string): boolean =>
    COMPUTED.test(name) || !needsShared && SHARED.test(name);
  const wanted = new Map(tensors.map(({ name, shape }) => [tensorName(name), shape]));
  const held = [...weights.names];
  const faults = (list: string[], words: string): string[] =>
    list.length === 0 ? [] : [`${words} ${listed(list)}`];
  const specs = [...wanted].flatMap(([name, shape]) => {
    const spec = weights.spec(name);
    return spec === undefined ? [] : [{ ...spec, needed: shape }];
  });
  const problems = [
    ...faults([...wanted.keys()].filter((name) => weights.spec(name) === undefined), "it lacks"),
    ...faults(
      held.filter((name) => !wanted.has(name) && !isNeedless(name)),
      `a ${family} model of its config.json does not have`,
    ),
    ...faults(
      specs.filter(({ shape, needed }) => shape.join() !== needed.join())
        .map(({ name, shape, needed }) =>
          `${name} ${showShape(shape)} where its config.json says ${showShape(needed)}`
        ),
      "it holds",
    ),
    ...faults(
      specs.filter(({ dtype }) => !["F32", "BF16", "F16"].includes(dtype))
        .map(({ name, dtype }) => `${name} as ${dtype}`),
      "only F32, BF16 and F16 are read, and it holds",
    ),
  ];
  if (problems.length > 0) {
    throw new ConfigError(`Cannot import ${weights.path}: ${problems.join("; ")}`);
  }
  return held.filter(isNeedless);
}

function* entriesOf(
  weights: TensorFolder,
  tensors: readonly RunTensor[],
  { tensorName }: Family,
): Generator<TensorEntry> {
  const buffer = new Uint8Array(PIECE);
  for (const { name, shape } of tensors) {
    const read = () => weights.pieces(tensorName(name), shape, buffer);
    yield { name, dtype: "F32", shape, read };
  }
}

/** The state of a run that has taken no step. */
function stateOf(config: TrainConfig): CheckpointState {
  // A router that is held at its sparsity by λ is not known to be there.
  const stage = routerOf(config.moe).adapts(config.moe)
    ? { stage: "dense", sparsifying_from: null, sparse_from: null } as const
    : { stage: "sparse", sparsifying_from: 0, sparse_from: 0 } as const;
  return {
    format: 1,
    step: 0,
    tokens: 0,
    lambda: config.moe.lambda0,
    stage,
    sampler: null,
    seed: config.seed,
    config_hash: configHash(config),
    versions: versions(),
  };
}
