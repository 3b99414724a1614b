/** What a zero-shot task is: how its rows become texts to score, and what is measured. @module */

import type { Row } from "./row.ts";

/** A context and the continuations whose likelihoods are compared, or measured. */
export interface Item {
  /** The text before each continuation. */
  readonly context: string;
  /** The continuations, with the space before them. */
  readonly continuations: readonly string[];
  /** Index of the right continuation. */
  readonly gold: number;
}

/** A figure of a task. */
export type MetricName = "acc" | "acc_norm" | "perplexity";

/** A zero-shot task, defined as lm-evaluation-harness defines it. */
export interface Task {
  /** Names of its file, without `.jsonl` or `.jsonl.gz`; the first that exists is read. */
  readonly files: readonly string[];
  /** What is measured. */
  readonly metrics: readonly MetricName[];
  /** The harness's version of the task. */
  readonly version: number;
  /**
   * Makes the texts to score.
   *
   * @param row A row of its file.
   * @returns The item.
   * @throws {DataError} If a field is missing or of another type; names the line.
   */
  item(row: Row): Item;
}

/**
 * Makes the item of a question with answers to choose from.
 *
 * @param context The text before the answers.
 * @param choices The answers.
 * @param gold Index of the right one.
 * @returns The item: each answer follows after one space.
 */
export function choice(context: string, choices: readonly string[], gold: number): Item {
  return { context, continuations: choices.map((text) => ` ${text}`), gold };
}
