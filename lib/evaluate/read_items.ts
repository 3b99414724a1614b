/** Reads the items of a task from a folder. @module */

import { join } from "node:path";
import { DataError } from "../data/errors.ts";
import { readJsonRows } from "../data/text/text_readers.ts";
import { exists } from "../files.ts";
import { Row } from "./tasks/row.ts";
import type { Item } from "./tasks/task.ts";
import { type TaskName, TASKS } from "./tasks/tasks.ts";

/** The items of a task. */
export interface TaskItems {
  /** The task's name. */
  readonly name: TaskName;
  /** The file they are from. */
  readonly file: string;
  /** Items in the file. */
  readonly total: number;
  /** Those to score: the first of them. */
  readonly items: readonly Item[];
}

const EXTENSIONS = [".jsonl", ".jsonl.gz"];

/**
 * Finds the file of a task.
 *
 * @param folder The folder to look in.
 * @param name The task.
 * @returns The file's path.
 * @throws {DataError} If there is none; names those looked for.
 */
export function taskFile(folder: string, name: TaskName): string {
  const names = TASKS[name].files.flatMap((file) =>
    EXTENSIONS.map((extension) => file + extension)
  );
  const found = names.find((file) => exists(join(folder, file)));
  if (found !== undefined) return join(folder, found);
  if (!exists(folder)) {
    throw new DataError(`Cannot read the task ${name}: there is no folder ${folder}`);
  }
  throw new DataError(
    `Cannot read the task ${name}: ${folder} holds none of ${names.join(", ")}`,
  );
}

/**
 * Reads a task. Every row is checked, also those beyond the limit.
 *
 * @param folder The folder with its file.
 * @param name The task.
 * @param limit Items to keep.
 * @returns The items.
 * @throws {DataError} If the file is missing, empty or unreadable, or a row does not fit; names
 * the line.
 */
export async function readItems(
  folder: string,
  name: TaskName,
  limit = Infinity,
): Promise<TaskItems> {
  const file = taskFile(folder, name);
  const items: Item[] = [];
  let total = 0;
  for await (const row of readJsonRows(file)) {
    const item = TASKS[name].item(new Row(file, row));
    if (total++ < limit) items.push(item);
  }
  if (total === 0) throw new DataError(`Cannot read ${file}: none of its lines holds an item`);
  return { name, file, total, items };
}
