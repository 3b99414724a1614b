/** Whether a model can start from another one's weights, as far as their configurations tell. @module */

import type { TrainConfig } from "../config/config.ts";
import { headDim } from "../config/head_dim.ts";
import { ConfigError } from "../errors.ts";
import { routerLabel, routerOf } from "../moe/router_of.ts";
import { findRun, type FoundRun } from "../run/find_run.ts";
import { visibleName } from "../visible.ts";

/** Sizes without a weight, and the one whose padding may differ. */
const MAY_DIFFER: readonly string[] = ["vocabulary", "init_std", "dtype", "rope_base"];

/**
 * Finds the run that a configuration starts from, and refuses one whose weights do not fit.
 *
 * @param config The configuration of the new run.
 * @returns The run; null if the new one starts from random weights.
 * @throws {ConfigError} If there is no such run, or it is of another tokenizer, other sizes or other
 * experts; names each.
 */
export function initialRun(config: TrainConfig): FoundRun | null {
  const { from } = config.init;
  if (from === null) return null;
  const run = findRun(from);
  const problems = [
    ...tokenizerProblems(run.config, config),
    ...sizeProblems(run.config, config),
    ...expertProblems(run.config, config),
  ];
  if (problems.length === 0) return run;
  throw new ConfigError(`Cannot start from ${visibleName(from)}: ${problems.join("; ")}`);
}

function tokenizerProblems(source: TrainConfig, config: TrainConfig): string[] {
  const [before, now] = [source.data, config.data];
  const [had, has] = [before.tokenizer_file?.sha256, now.tokenizer_file?.sha256];
  if (before.tokenizer === now.tokenizer && had === has) return [];
  const difference = before.tokenizer === now.tokenizer
    ? "it has another tokenizer.json than the new run"
    : `its data.tokenizer is ${before.tokenizer} and the new run's is ${now.tokenizer}`;
  return [`${difference}, under which the embedding's rows would stand for other text`];
}

/** Every size that shapes a weight, or how one is read, must stay: heads of equal total width, too. */
function sizeProblems(source: TrainConfig, config: TrainConfig): string[] {
  const [before, now] = [source, config].map(({ model }): Record<string, unknown> => ({
    ...model,
    head_dim: headDim(model),
  }));
  return Object.keys({ ...before, ...now })
    .filter((key) => !MAY_DIFFER.includes(key) && !isSame(before![key], now![key]))
    .map((key) =>
      `its model.${key} is ${JSON.stringify(before![key])} and the new run's is ` +
      `${JSON.stringify(now![key])}, expected the same`
    );
}

function expertProblems(source: TrainConfig, config: TrainConfig): string[] {
  const [before, now] = [source.moe, config.moe];
  const [had, has] = [routerOf(before), routerOf(now)];
  const name = routerLabel(now.router);
  if (had.routed && !has.routed) {
    return [
      `it has ${before.experts} experts per layer, of which moe.router ${name} could keep one; ` +
      `choose a router with experts`,
    ];
  }
  if (had.routed) {
    return (["experts", "granularity", "shared", "shared_ffn", "shared_gate"] as const)
      .filter((key) => before[key] !== now[key])
      .map((key) =>
        `its moe.${key} is ${before[key]} and the new run's is ${now[key]}, expected the same: ` +
        `only dense layers can become other experts`
      );
  }
  const apart = (["shared_ffn", "shared_gate"] as const)
    .filter((key) => now[key] !== null && now[key] !== false)
    .map((key) =>
      `moe.${key} is ${now[key]}, expected to be left out: its dense layers become experts that ` +
      `are as wide as they are, and moe.shared of those for every token`
    );
  if (apart.length > 0) return apart;
  if (!has.routed || now.shared % now.granularity === 0) return [];
  return [
    `moe.shared is ${now.shared}, expected a multiple of moe.granularity (${now.granularity}): ` +
    `shared experts are whole copies of its dense layers`,
  ];
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
