/** What a run took over, in a few lines. @module */

import type { InitRecord } from "../checkpoint/state.ts";
import type { TrainConfig } from "../config/config.ts";
import { routerLabel, routerOf } from "../moe/router_of.ts";
import { visibleName } from "../visible.ts";

/**
 * Describes what a run starts from.
 *
 * @param record What was taken, what is new, what was left.
 * @param source The configuration of the run that the weights are from.
 * @param config That of the new run.
 * @returns A headline, and a line each for what was taken, copied, is new and was left.
 */
export function describeInit(
  record: InitRecord,
  { moe: before }: TrainConfig,
  { moe, init }: TrainConfig,
): string {
  const { from, step, taken, copied, scale, left } = record;
  const router = routerLabel(before.router);
  const isRow = (name: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`  ${name}  ${names.map(visibleName).join(", ")}`];
  const adapts = routerOf(moe).adapts(moe);
  return [
    `Starts from ${visibleName(from)} (router ${router}, step ${step}); step, optimizer` +
    `${adapts ? ", λ" : ""} and order of the text are new`,
    ...isRow("taken ", taken),
    ...(copied.length === 0 ? [] : [
      `  copied  ${copied.map(visibleName).join(", ")} into ${moe.experts} experts each` +
      (moe.granularity > 1 ? ` of ${moe.granularity} parts` : "") +
      (moe.shared > 0 ? `, and into the shared ones` : "") +
      `; noise ${init.noise}, output times ${rangeOf(scale)}`,
    ]),
    ...isRow("new   ", record.new.length === 0 ? ["nothing"] : record.new),
    ...isRow("left  ", left.length === 0 ? ["nothing"] : left),
  ].join("\n");
}

function rangeOf(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? `${least}` : `${least} to ${most}`;
}
