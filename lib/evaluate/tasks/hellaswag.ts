/** HellaSwag: four endings of a description of what people do. @module */

import { trimmed } from "../spaces.ts";
import type { Row } from "./row.ts";
import { choice, type Task } from "./task.ts";

/** The task; its rows are either the data set's own, or hold the prepared `query`. */
export const hellaswag: Task = {
  files: ["hellaswag"],
  metrics: ["acc", "acc_norm"],
  version: 1,
  item(row) {
    const endings = row.texts("endings", 2);
    const gold = row.index("label", endings.length);
    if (row.has("query")) return choice(row.text("query"), endings, gold);
    return choice(cleaned(queryOf(row)), endings.map(cleaned), gold);
  },
};

function queryOf(row: Row): string {
  const second = row.text("ctx_b").toLowerCase();
  const [first = ""] = second;
  const sentence = first.toUpperCase() + second.slice(first.length);
  return `${row.text("activity_label")}: ${row.text("ctx_a")} ${sentence}`;
}

/** Drops the marks that the rows from WikiHow carry. */
function cleaned(text: string): string {
  return trimmed(text).replaceAll(" [title]", ". ").replaceAll(/\[.*?\]/g, "").replaceAll(
    "  ",
    " ",
  );
}
