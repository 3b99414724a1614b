/** LAMBADA: the last word of a passage, in OpenAI's form of the data. @module */

import type { Task } from "./task.ts";

/** The task. */
export const lambada: Task = {
  files: ["lambada_openai"],
  metrics: ["acc", "perplexity"],
  version: 1,
  item(row) {
    const words = row.text("text").split(" ");
    const last = words.pop()!;
    return { context: words.join(" "), continuations: [` ${last}`], gold: 0 };
  },
};
