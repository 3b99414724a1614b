/**
 * Checks between the keys of a configuration.
 *
 * @module
 */

import { defaultOf, type RouterValue } from "../moe/router_keys.ts";
import { type AnyRouter, ROUTER_KEYS, ROUTER_NAMES, ROUTERS } from "../moe/routers.ts";
import { headDim } from "./head_dim.ts";
import type { DataConfig, MoEConfig, TrainConfig } from "./config.ts";

/**
 * Counts the tokens of a configuration's tokenizer.
 *
 * @param data The tokenizer, and its file if it has one.
 * @returns 256 bytes or GPT-2's tokens, plus end of document, or what the file holds.
 */
export function tokenizerVocabulary(
  { tokenizer, tokenizer_file: file }: Pick<DataConfig, "tokenizer" | "tokenizer_file">,
): number {
  return { byte: 257, gpt2: 50_257, file: file?.vocabulary ?? 0 }[tokenizer];
}

/**
 * Lists conflicts between the keys of a configuration.
 *
 * @param config A configuration whose keys are valid one by one.
 * @param spec Its router.
 * @returns One sentence per conflict; empty if there are none.
 */
export function crossFieldProblems(config: TrainConfig, spec: AnyRouter): string[] {
  return [
    ...modelProblems(config),
    ...routerProblems(config.moe, spec),
    ...layerProblems(config, spec),
    ...dataProblems(config),
  ];
}

function modelProblems({ model, moe, data }: TrainConfig): string[] {
  const problems: string[] = [];
  const { hidden, heads, groups, head_dim, ffn, vocabulary } = model;
  if (head_dim !== null) {
    if (head_dim % 2 !== 0) {
      problems.push(
        `model.head_dim is ${head_dim}, expected an even size, since rotary embeddings rotate pairs`,
      );
    }
  } else if (hidden % heads !== 0) {
    problems.push(`model.hidden is ${hidden}, expected a multiple of model.heads (${heads})`);
  } else if ((hidden / heads) % 2 !== 0) {
    problems.push(
      `model.hidden / model.heads is ${hidden / heads}, expected an even size of a head, ` +
        `since rotary embeddings rotate pairs`,
    );
  }
  if (heads % groups !== 0) {
    problems.push(`model.heads is ${heads}, expected a multiple of model.groups (${groups})`);
  }
  const columns = (heads + 2 * groups) * headDim(model);
  if (columns >= 2 ** 31) {
    problems.push(
      `(model.heads + 2 * model.groups) * model.head_dim is ${columns}, expected below 2^31`,
    );
  }
  // The schema does not bound an ffn that is derived from hidden.
  if (ffn >= 2 ** 31) problems.push(`model.ffn is ${ffn}, expected below 2^31`);
  if (ffn % moe.granularity !== 0) {
    problems.push(
      `model.ffn is ${ffn}, expected a multiple of moe.granularity (${moe.granularity})`,
    );
  }
  const needed = tokenizerVocabulary(data);
  if (vocabulary < needed) {
    problems.push(
      `model.vocabulary is ${vocabulary}, expected at least the ${needed} tokens of ` +
        `data.tokenizer ${data.tokenizer}`,
    );
  }
  return problems;
}

function routerProblems(moe: MoEConfig, spec: AnyRouter): string[] {
  const { experts, active, shared } = moe;
  const parts = active * moe.granularity;
  return [
    ...(spec.routed && shared >= parts
      ? [
        `moe.shared is ${shared}, expected below moe.active * moe.granularity (${parts}): the ` +
        `shared experts count in it, and the router needs one to choose`,
      ]
      : []),
    ...(spec.routed && active > experts
      ? [`moe.active is ${active}, expected at most moe.experts (${experts})`]
      : []),
    ...lambdaProblems(moe),
    ...foreignKeyProblems(moe, spec),
    ...spec.problems(moe),
  ];
}

/** Conflicts among the keys of shared experts and dense layers. */
function layerProblems({ model, moe }: TrainConfig, { routed }: AnyRouter): string[] {
  const { shared, shared_ffn, shared_gate, dense_layers, dense_ffn } = moe;
  if (!routed) {
    const unset = { shared_ffn: null, shared_gate: false, dense_layers: [], dense_ffn: null };
    return Object.entries(unset)
      .map(([key, value]) => [key, moe[key as keyof typeof unset], value] as const)
      .filter(([, given, value]) => JSON.stringify(given) !== JSON.stringify(value))
      .map(([key, given, value]) =>
        `moe.${key} is ${JSON.stringify(given)}, expected ${JSON.stringify(value)} with ` +
        `moe.router ${moe.router}, which has no experts`
      );
  }
  const problems: string[] = [];
  if (shared_ffn !== null && shared > 0) {
    problems.push(
      `moe.shared is ${shared}, expected 0 beside moe.shared_ffn (${shared_ffn}), which is the ` +
        `width of the shared expert`,
    );
  }
  if (shared_gate && shared_ffn === null && shared === 0) {
    problems.push(
      `moe.shared_gate is true, expected false without a shared expert; set moe.shared_ffn or ` +
        `moe.shared`,
    );
  }
  const beyond = dense_layers.find((layer) => layer >= model.layers);
  if (beyond !== undefined) {
    problems.push(`moe.dense_layers holds ${beyond}, expected layers below ${model.layers}`);
  } else if (dense_layers.length === model.layers) {
    problems.push(
      `moe.dense_layers holds every layer, expected one with experts at least; moe.router dense ` +
        `has none`,
    );
  }
  if (dense_ffn !== null && dense_layers.length === 0) {
    problems.push(`moe.dense_ffn is ${dense_ffn}, expected null without moe.dense_layers`);
  }
  return problems;
}

/**
 * Refuses keys that have no effect under this router. Their defaults pass, since a resolved
 * configuration has every key.
 */
function foreignKeyProblems(moe: MoEConfig, { keys: own }: AnyRouter): string[] {
  const settings = { ...moe } as unknown as Readonly<Record<string, RouterValue>>;
  return Object.entries(ROUTER_KEYS)
    .filter(([name, key]) => !(name in own) && settings[name] !== defaultOf(key, settings))
    .map(([name]) => {
      const owners = ROUTER_NAMES.filter((owner) => name in ROUTERS[owner].keys);
      return `moe.${name} is ${settings[name]}, expected to be left out with moe.router ` +
        `${moe.router}: only ${owners.join(" and ")} ${owners.length > 1 ? "read" : "reads"} it`;
    });
}

function lambdaProblems({ lambda0, lambda_floor, lambda_ceiling }: MoEConfig): string[] {
  const problems: string[] = [];
  if (lambda_floor > lambda0) {
    problems.push(`moe.lambda_floor is ${lambda_floor}, expected at most moe.lambda0 (${lambda0})`);
  }
  if (lambda_ceiling <= lambda0) {
    problems.push(
      `moe.lambda_ceiling is ${lambda_ceiling}, expected above moe.lambda0 (${lambda0})`,
    );
  }
  return problems;
}

function dataProblems({ data }: TrainConfig): string[] {
  const { batch, micro_batch, sequence, tokenizer, tokenizer_file: file } = data;
  const problems: string[] = [];
  if (tokenizer === "file" && file === undefined) {
    problems.push(
      `data.tokenizer is file, and data.tokenizer_file is missing: an imported model brings it`,
    );
  }
  if (tokenizer !== "file" && file !== undefined) {
    problems.push(
      `data.tokenizer_file is given, expected to be left out with data.tokenizer ${tokenizer}`,
    );
  }
  if (batch % micro_batch !== 0) {
    problems.push(
      `data.batch is ${batch}, expected a multiple of data.micro_batch (${micro_batch})`,
    );
  }
  if (micro_batch * sequence >= 2 ** 31) {
    problems.push(
      `data.micro_batch * data.sequence is ${micro_batch * sequence} tokens, expected below 2^31`,
    );
  }
  return problems;
}
