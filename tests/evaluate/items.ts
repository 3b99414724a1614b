/** Made-up rows of each task, and the texts that lm-evaluation-harness would score for them. @module */

import type { Item } from "../../lib/evaluate/tasks/task.ts";
import { type TaskName, TASKS } from "../../lib/evaluate/tasks/tasks.ts";
import { Row } from "../../lib/evaluate/tasks/row.ts";

/** A row and its item. */
export interface Example {
  readonly name: TaskName;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly item: Item;
}

const RACE_PROBLEMS = [
  {
    question: "Tom bought   _  .",
    options: ["a cat", "a dog", "a hen", "an owl"],
    answer: "D",
  },
  { question: "Who's there?", options: ["Ann", "Ben", "Cat", "Dan"], answer: "B" },
  { question: "The text says  _  .", options: ["one", "two", "three", "four"], answer: "C" },
];

const RACE_ITEM: Item = {
  context: "Article: Tom went out.\n\nTom bought  an owl\nQuestion: Who's there?\nAnswer: Ben\n" +
    "The text says  _  .",
  continuations: [" one", " two", " three", " four"],
  gold: 2,
};

/** The same problems as the data set's own rows have them: a text that Python printed. */
const RACE_PRINTED = `[{'question': 'Tom bought   _  .', 'answer': 'D', 'options': ` +
  `['a cat', 'a dog', 'a hen', 'an owl']}, {'question': "Who's there?", 'answer': 'B', ` +
  `'options': ['Ann', 'Ben', 'Cat', 'Dan']}, {'question': 'The text says  _  .', ` +
  `'answer': 'C', 'options': ['one', 'two', 'three', 'four']}]`;

/** The rows, at least one per task. */
export const EXAMPLES: readonly Example[] = [
  {
    name: "arc_easy",
    fields: {
      ...{ id: "x", question: "What is hot?", answerKey: "2" },
      choices: { text: ["ice", "fire", "snow"], label: ["1", "2", "3"] },
    },
    item: {
      context: "Question: What is hot?\nAnswer:",
      continuations: [" ice", " fire", " snow"],
      gold: 1,
    },
  },
  {
    name: "arc_challenge",
    fields: {
      ...{ question: "Which?", answerKey: "C" },
      choices: { text: ["a", "b", "c", "d", "e"], label: ["A", "B", "C", "D", "E"] },
    },
    item: {
      context: "Question: Which?\nAnswer:",
      continuations: [" a", " b", " c", " d", " e"],
      gold: 2,
    },
  },
  {
    name: "boolq",
    fields: { passage: "Ice -- Ice is cold.", question: "is ice cold", label: 1, idx: 7 },
    item: {
      context: "Ice -- Ice is cold.\nQuestion: is ice cold?\nAnswer:",
      continuations: [" no", " yes"],
      gold: 1,
    },
  },
  {
    name: "hellaswag",
    fields: { query: "Roof: A man sits. He", endings: ["eats.", "é."], label: 1 },
    item: { context: "Roof: A man sits. He", continuations: [" eats.", " é."], gold: 1 },
  },
  {
    name: "hellaswag",
    fields: {
      ...{
        activity_label: "Roof repair",
        ctx_a: "A man [sub] sits.",
        ctx_b: "he And I",
        label: "2",
      },
      endings: [" stands. ", "goes [title] Now", "x  y", "z"],
    },
    item: {
      context: "Roof repair: A man sits. He and i",
      continuations: [" stands.", " goes. Now", " x y", " z"],
      gold: 2,
    },
  },
  {
    name: "lambada_openai",
    fields: { text: 'She said  "no" to him' },
    item: { context: 'She said  "no" to', continuations: [" him"], gold: 0 },
  },
  {
    name: "piqa",
    fields: { goal: "Open a jar", sol1: " Twist it.", sol2: "Eat it.", label: 0 },
    item: {
      context: "Question: Open a jar\nAnswer:",
      continuations: ["  Twist it.", " Eat it."],
      gold: 0,
    },
  },
  {
    name: "race",
    fields: { article: "Tom went out.", problems: RACE_PROBLEMS },
    item: RACE_ITEM,
  },
  {
    name: "race",
    fields: { article: "Tom went out.", problems: RACE_PRINTED },
    item: RACE_ITEM,
  },
];

/** Makes the item of a row as if it were line 3 of `FILE`. */
export function itemOf(name: TaskName, fields: Readonly<Record<string, unknown>>): Item {
  return TASKS[name].item(new Row("FILE", { number: 3, fields }));
}
