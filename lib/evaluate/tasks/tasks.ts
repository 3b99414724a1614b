/** The zero-shot tasks of the paper. @module */

import { ConfigError } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import { arc } from "./arc.ts";
import { boolq } from "./boolq.ts";
import { hellaswag } from "./hellaswag.ts";
import { lambada } from "./lambada.ts";
import { piqa } from "./piqa.ts";
import { race } from "./race.ts";
import type { Task } from "./task.ts";

/** The tasks by name, in the paper's order. */
export const TASKS = {
  arc_challenge: arc("arc_challenge"),
  arc_easy: arc("arc_easy"),
  boolq,
  hellaswag,
  lambada_openai: lambada,
  piqa,
  race,
} as const satisfies Readonly<Record<string, Task>>;

/** The name of a task. */
export type TaskName = keyof typeof TASKS;

/** All of the names. */
export const TASK_NAMES: readonly TaskName[] = Object.freeze(Object.keys(TASKS) as TaskName[]);

/**
 * Looks tasks up.
 *
 * @param names Their names; `all` stands for every task.
 * @returns The names, each once, in the order given.
 * @throws {ConfigError} If there is no such task.
 */
export function taskNames(names: readonly string[]): TaskName[] {
  const chosen = names.flatMap((name): readonly TaskName[] => {
    if (name === "all") return TASK_NAMES;
    if (Object.hasOwn(TASKS, name)) return [name as TaskName];
    const meant = nearest(name, TASK_NAMES);
    const hint = meant === undefined ? "; the" : `, did you mean ${meant}? The`;
    throw new ConfigError(
      `There is no task ${JSON.stringify(name)}${hint} tasks are ${TASK_NAMES.join(", ")}`,
    );
  });
  return [...new Set(chosen)];
}
