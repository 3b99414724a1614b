/**
 * What the keys of a configuration ask of each other.
 *
 * @module
 */

import type { MoEConfig, RouterName, TokenizerName, TrainConfig } from "./config.ts";
import { BASE } from "./presets.ts";

/** Vocabulary of each tokenizer: 256 bytes, or GPT-2's merges, and the end of a document. */
export const TOKENIZER_VOCABULARY: Readonly<Record<TokenizerName, number>> = {
  byte: 257,
  gpt2: 50_257,
};

/** Keys of `moe` that one router alone reads. */
const OWNED: Readonly<Record<RouterName, readonly (keyof MoEConfig)[]>> = {
  relu: ["balance", "lambda0", "alpha", "lambda_floor", "lambda_ceiling"],
  topk: ["balance_coefficient", "renormalize"],
  dense: [],
};

/**
 * Lists the keys of `moe` that a router does not read, because they belong to another one.
 *
 * @param router The router.
 * @returns The keys, each with the router that reads it.
 */
export function keysOfOtherRouters(
  router: RouterName,
): readonly { readonly key: keyof MoEConfig; readonly owner: RouterName }[] {
  return (Object.keys(OWNED) as RouterName[])
    .filter((owner) => owner !== router)
    .flatMap((owner) => OWNED[owner].map((key) => ({ key, owner })));
}

/**
 * Lists what is wrong between the keys of a configuration.
 *
 * @param config A configuration whose keys are right one by one.
 * @returns One sentence a problem; empty where all fits.
 */
export function crossFieldProblems(config: TrainConfig): string[] {
  return [...modelProblems(config), ...routerProblems(config.moe), ...dataProblems(config)];
}

function modelProblems({ model, moe, data }: TrainConfig): string[] {
  const problems: string[] = [];
  const { hidden, heads, groups, ffn, vocabulary } = model;
  if (hidden % heads !== 0) {
    problems.push(`model.hidden is ${hidden}, expected a multiple of model.heads (${heads})`);
  } else if ((hidden / heads) % 2 !== 0) {
    problems.push(
      `model.hidden / model.heads is ${hidden / heads}, expected an even size of a head, ` +
        `since rotary embedding turns pairs`,
    );
  }
  if (heads % groups !== 0) {
    problems.push(`model.heads is ${heads}, expected a multiple of model.groups (${groups})`);
  }
  // What follows from hidden is not held by the schema.
  if (ffn >= 2 ** 31) problems.push(`model.ffn is ${ffn}, expected below 2^31`);
  if (ffn % moe.granularity !== 0) {
    problems.push(
      `model.ffn is ${ffn}, expected a multiple of moe.granularity (${moe.granularity})`,
    );
  }
  const needed = TOKENIZER_VOCABULARY[data.tokenizer];
  if (vocabulary < needed) {
    problems.push(
      `model.vocabulary is ${vocabulary}, expected at least the ${needed} tokens of ` +
        `data.tokenizer ${data.tokenizer}`,
    );
  }
  return problems;
}

function routerProblems(moe: MoEConfig): string[] {
  return [
    ...expertProblems(moe),
    ...lambdaProblems(moe),
    ...foreignKeyProblems(moe),
    ...renormalizeProblems(moe),
  ];
}

/**
 * Keys without effect under this router. Their defaults pass, since a resolved configuration holds
 * every key.
 */
function foreignKeyProblems(moe: MoEConfig): string[] {
  const defaults: MoEConfig = { ...BASE.moe, lambda_floor: moe.lambda0 / 100 };
  return keysOfOtherRouters(moe.router)
    .filter(({ key }) => moe[key] !== defaults[key])
    .map(({ key, owner }) =>
      `moe.${key} is ${moe[key]}, expected to be left out with moe.router ${moe.router}: only ` +
      `${owner} reads it`
    );
}

function expertProblems({ router, experts, active, granularity }: MoEConfig): string[] {
  if (router === "dense") {
    return Object.entries({ experts, active, granularity })
      .filter(([, value]) => value !== 1)
      .map(([key, value]) =>
        `moe.${key} is ${value}, expected 1 with moe.router dense, which has one expert`
      );
  }
  return active > experts
    ? [`moe.active is ${active}, expected at most moe.experts (${experts})`]
    : [];
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

/** With one expert a token the renormalised gate is always 1: the router gets no gradient. */
function renormalizeProblems({ router, active, granularity, renormalize }: MoEConfig): string[] {
  if (!renormalize) return [];
  return router === "topk" && active * granularity === 1
    ? [
      "moe.renormalize is true, expected false where a token uses one expert: its gate would " +
      "always be 1 and the router would get no gradient",
    ]
    : [];
}

function dataProblems({ data }: TrainConfig): string[] {
  const { batch, micro_batch, sequence } = data;
  const problems: string[] = [];
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
