/** RACE: questions about an article, of English exams at Chinese high schools. @module */

import { pythonLiteral } from "./python_literal.ts";
import type { Row } from "./row.ts";
import { choice, type Task } from "./task.ts";

/** How a question ends whose blank is to be filled in, and what of it gives way to the answer. */
const BLANK = "  _  .", FILLED = 5;
const LETTERS = ["A", "B", "C", "D"];

/**
 * The task: the last question about each article, after the earlier ones with their answers. The
 * problems are a list, or a text that holds one as Python writes it.
 */
export const race: Task = {
  files: ["race", "race_high", "race_high_test", "race_high_validation"],
  metrics: ["acc"],
  version: 3,
  item(row) {
    const problems = problemsOf(row);
    const last = problems.at(-1)!;
    const earlier = problems.slice(0, -1).map(answered).join("");
    const context = `Article: ${row.text("article")}\n\n${earlier}${last.text("question")}`;
    return choice(context, optionsOf(last), answerOf(last));
  },
};

function problemsOf(row: Row): Row[] {
  const value = row.value("problems");
  if (typeof value !== "string") return row.objects("problems");
  const list = pythonLiteral(value);
  if (list === undefined) row.fail("its field problems is a text, but not a list of Python's");
  return row.objects("problems", list);
}

/** An earlier problem, with its answer. */
function answered(problem: Row): string {
  const question = problem.text("question");
  const answer = optionsOf(problem)[answerOf(problem)]!;
  // Python slices and compares code points; none of those at the end is outside the BMP.
  if (question.endsWith(BLANK)) return `${question.slice(0, -FILLED)}${answer}\n`;
  return `Question: ${question}\nAnswer: ${answer}\n`;
}

function optionsOf(problem: Row): string[] {
  return problem.texts("options", LETTERS.length).slice(0, LETTERS.length);
}

function answerOf(problem: Row): number {
  const letter = problem.text("answer");
  const answer = LETTERS.indexOf(letter);
  return answer >= 0 ? answer : problem.fail(`its answer is ${letter}, expected A, B, C or D`);
}
