/**
 * Notices about a valid configuration that will not do what it seems to ask for.
 *
 * @module
 */

import { routerLabel, routerOf } from "../moe/router_of.ts";
import type { MoEConfig, TrainConfig } from "./config.ts";
import { BASE, presetLayer } from "./presets.ts";
import { differences, valuesByKey } from "./values_by_key.ts";

/**
 * Finds values that have no effect, or not the one they seem to have.
 *
 * @param config The complete configuration.
 * @returns Sentences for the user; empty if there is nothing to say.
 */
export function configNotices(config: TrainConfig): string[] {
  return [
    ...scheduleNotices(config),
    ...initNotices(config),
    ...dataNotices(config),
    ...routerNotices(config.moe),
    ...flipNotices(config),
  ];
}

/**
 * Lists the values that change when a run is resumed.
 *
 * @param before The configuration of the run so far.
 * @param config The configuration to continue with.
 * @returns Sentences for the user.
 */
export function resumeNotices(before: TrainConfig, config: TrainConfig): string[] {
  const changes = differences(valuesByKey(before), valuesByKey(config), ["", "became"]);
  return changes.length === 0 ? [] : [`Changed from here on: ${changes.join(", ")}`];
}

function scheduleNotices({ schedule, steps }: TrainConfig): string[] {
  const { warmup } = schedule;
  if (steps > warmup) return [];
  const end = steps === warmup ? "its peak" : `${steps}/${warmup} of its peak`;
  return [
    `The learning rate only rises and ends at ${end}: schedule.warmup is ${warmup} and steps is ` +
    `${steps}; a warmup of fewer steps lets it fall again`,
  ];
}

function initNotices({ init }: TrainConfig): string[] {
  if (init.from !== null) return [];
  return (["noise", "rescale"] as const)
    .filter((name) => init[name] !== BASE.run.init[name])
    .map((name) => `init.${name} has no effect without init.from`);
}

function dataNotices({ data, validation, preset }: TrainConfig): string[] {
  const notices: string[] = [];
  const usual = presetLayer(preset).data?.validation_fraction ?? BASE.data.validation_fraction;
  const isOwn = data.validation_fraction !== usual;
  if (isOwn && data.validation_paths.length > 0) {
    notices.push("data.validation_fraction has no effect beside data.validation_paths");
  }
  if (validation.every === 0 && data.validation_paths.length === 0) {
    notices.push(
      `Nothing is validated (validation.every is 0), and data.validation_fraction ` +
        `${data.validation_fraction} of the text is held out all the same`,
    );
  }
  return notices;
}

function routerNotices(moe: MoEConfig): readonly string[] {
  const router = routerOf(moe);
  const label = routerLabel(moe.router);
  return [
    ...router.notices(moe),
    ...(router.causal ? [] : [
      `The router ${label} routes a token by those after it: losses see what is to be predicted, ` +
      `and no text can be drawn`,
    ]),
  ];
}

function flipNotices({ flips, moe }: TrainConfig): string[] {
  if (flips.every === 0 || routerOf(moe).routed) return [];
  return [
    `flips.every has no effect with moe.router ${routerLabel(moe.router)}, which does not route`,
  ];
}
