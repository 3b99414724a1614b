/**
 * The help of `train`.
 *
 * @module
 */

import { parseConfig } from "../../lib/config/parse_config.ts";
import { CONFIG_KEYS } from "../../lib/config/schema.ts";
import { ROUTER_NAMES, ROUTERS } from "../../lib/moe/routers.ts";
import { flagTable, table } from "../shared/table.ts";
import { TRAIN_FLAGS, type TrainFlag } from "./flags.ts";

const EXAMPLES = `Examples:
  The default run, about two minutes on two cores
    deno task train
  Another router, another seed
    deno task train --router topk --seed 1
  16 experts of which 2 are active, each split in 4, on your own texts
    deno task train --experts 16 --active 2 --granularity 4 --data books/ --data notes.txt
  What the paper's 182M model would need
    deno task train --preset 182m --dry-run
  Resume after Ctrl-C or a crash; or from an older checkpoint
    deno task train --resume runs/mine
    deno task train --resume runs/mine/checkpoints/step-000200
  Turn a dense run into 8 experts of which 1 is active, and train on
    deno task train --init-from runs/dense --router relu --experts 8
  Watch the run in TensorBoard (tensorboard --logdir runs), or draw its charts
    deno task train --tensorboard
    deno task plot runs/mine
  Keys without a flag of their own
    deno task train --set moe.balance=plain --set model.layers=6`;

const NOTES = `Ctrl-C ends the run after its current step, saves, and exits with code 130; a second
one, at least a second later, ends it at once. Errors exit with code 1.
Relative paths start from the folder the command is called in; in a file, from the file's folder.`;

/**
 * Writes the help.
 *
 * @returns The text, without a final newline.
 */
export function trainHelp(): string {
  const flags = (["Model", "Training", "Run", "Other"] as const).map(flagGroup);
  return [
    "Trains a Mixture-of-Experts language model with ReLU routing (ReMoE).",
    "Usage: deno run -A cli/train.ts [FLAGS]    (in brackets: the defaults of the preset nano)",
    ...flags,
    `Routers:\n${routers()}`,
    `Keys of the configuration, for --config and --set:\n${keys()}`,
    EXAMPLES,
    NOTES,
  ].join("\n\n");
}

function flagGroup(group: TrainFlag["group"]): string {
  const flags = Object.entries<TrainFlag>(TRAIN_FLAGS).filter(([, flag]) => flag.group === group);
  return `${group}:\n${flagTable(Object.fromEntries(flags))}`;
}

function routers(): string {
  return table([
    ...ROUTER_NAMES.map((name): [string, string] => [name, ROUTERS[name].about]),
    ["FILE", "the default export of your own file, like ./router.ts"],
  ]);
}

function keys(): string {
  const defaults = parseConfig({}) as unknown as Record<string, unknown>;
  const rows = CONFIG_KEYS.map(({ key, expects, description }): [string, string] => {
    const value = key.split(".").reduce<unknown>(
      (at, name) => (at as Record<string, unknown>)[name],
      defaults,
    );
    return [key, `${description}; ${expects} [${JSON.stringify(value)}]`];
  });
  return table(rows);
}
