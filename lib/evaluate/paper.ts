/** The paper's zero-shot accuracies, to read one's own beside. @module */

import type { TaskName } from "./tasks/tasks.ts";

/** What the paper's figures are of. */
export const PAPER_MODEL = "ReMoE 182M, 1 of 8 experts, 30B tokens of the Pile";

/**
 * The paper's accuracies in percent, of which it gives the mean, 40.03. Whether they are `acc` or
 * `acc_norm` it does not say; its RACE is the test split.
 */
export const PAPER_ACCURACIES: Readonly<Record<TaskName, number>> = {
  arc_challenge: 20.22,
  arc_easy: 46.68,
  boolq: 54.16,
  hellaswag: 30.26,
  lambada_openai: 35.94,
  piqa: 63.55,
  race: 29.38,
};
