/** BoolQ: a passage and a question about it, answered by no or yes. @module */

import { choice, type Task } from "./task.ts";

/** The task. */
export const boolq: Task = {
  files: ["boolq"],
  metrics: ["acc"],
  version: 2,
  item(row) {
    const context = `${row.text("passage")}\nQuestion: ${row.text("question")}?\nAnswer:`;
    return choice(context, ["no", "yes"], row.index("label", 2));
  },
};
