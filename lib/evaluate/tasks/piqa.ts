/** PIQA: two ways to reach a goal in the physical world. @module */

import { choice, type Task } from "./task.ts";

/** The task. */
export const piqa: Task = {
  files: ["piqa"],
  metrics: ["acc", "acc_norm"],
  version: 1,
  item(row) {
    const ways = [row.text("sol1"), row.text("sol2")];
    return choice(`Question: ${row.text("goal")}\nAnswer:`, ways, row.index("label", 2));
  },
};
