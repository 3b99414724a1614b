/** ARC: science questions from school exams, Easy and Challenge. @module */

import { choice, type Task } from "./task.ts";

/**
 * Makes the task of one of the two sets.
 *
 * @param name The set's name, which is that of its file.
 * @returns The task.
 */
export function arc(name: "arc_easy" | "arc_challenge"): Task {
  return {
    files: [name],
    metrics: ["acc", "acc_norm"],
    version: 1,
    item(row) {
      const choices = row.object("choices");
      const [texts, labels] = [choices.texts("text", 2), choices.texts("label", 2)];
      const key = row.text("answerKey");
      const gold = labels.indexOf(key);
      if (gold < 0 || gold >= texts.length) {
        row.fail(`its answerKey is ${key}, expected one of the labels ${labels.join(", ")}`);
      }
      return choice(`Question: ${row.text("question")}\nAnswer:`, texts, gold);
    },
  };
}
