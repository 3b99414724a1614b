/**
 * The results of an evaluation as tables.
 *
 * @module
 */

import { PAPER_ACCURACIES, PAPER_MODEL } from "../../lib/evaluate/paper.ts";
import type { Figure } from "../../lib/evaluate/metrics.ts";
import type { EvaluationResult } from "../../lib/evaluate/results.ts";
import type { TaskResult } from "../../lib/evaluate/task_results.ts";
import type { TextFigures, TextResult } from "../../lib/evaluate/text_loss.ts";
import { mean } from "../../lib/mean.ts";
import { visibleName } from "../../lib/visible.ts";

/**
 * Formats the tables.
 *
 * @param result The results.
 * @returns The lines.
 */
export function resultLines({ tasks, text }: EvaluationResult): string[] {
  const tables = [
    ...(text === null ? [] : [textTable(text)]),
    ...(tasks.length === 0 ? [] : [[...taskTable(tasks), "", `paper: ${PAPER_MODEL}`]]),
  ];
  return tables.flatMap((lines, i) => i === 0 ? lines : ["", ...lines]);
}

function textTable({ domains, all }: TextResult): string[] {
  const row = (name: string, figures: TextFigures): string[] => [
    visibleName(name),
    figures.documents.toLocaleString("en"),
    figures.tokens.toLocaleString("en"),
    figures.loss.toFixed(4),
    withError({ value: figures.bitsPerByte, standardError: figures.standardError }, 4),
  ];
  return aligned([
    ["text", "documents", "tokens", "nats per token", "bits per byte"],
    ...[...domains].map(([name, figures]) => row(name, figures)),
    ...(domains.size > 1 ? [row("all", all)] : []),
  ]);
}

function taskTable(tasks: readonly TaskResult[]): string[] {
  const rows = tasks.flatMap(({ task, figures }) =>
    [...figures].map(([metric, figure], i) => [
      i === 0 ? task.name : "",
      i === 0 ? task.items.length.toLocaleString("en") : "",
      i === 0 ? task.cut.toLocaleString("en") : "",
      metric,
      metric === "perplexity" ? withError(figure, 2) : withError(percent(figure), 2),
      metric === "acc" ? PAPER_ACCURACIES[task.name].toFixed(2) : "",
    ])
  );
  const average = (of: (task: TaskResult) => number): string => mean(tasks.map(of)).toFixed(2);
  const last = [
    ...["mean", "", "", "acc"],
    average(({ figures }) => 100 * figures.get("acc")!.value),
    average(({ task }) => PAPER_ACCURACIES[task.name]),
  ];
  const head = ["task", "items", "cut", "metric", "value", "paper"];
  return aligned([head, ...rows, ...(tasks.length > 1 ? [last] : [])], [0, 3]);
}

function percent({ value, standardError }: Figure): Figure {
  return {
    value: 100 * value,
    standardError: standardError === null ? null : 100 * standardError,
  };
}

function withError({ value, standardError }: Figure, digits: number): string {
  const error = standardError === null ? "" : ` ± ${standardError.toFixed(digits)}`;
  return value.toFixed(digits) + error;
}

/**
 * Pads the cells of each column to the widest.
 *
 * @param rows The cells.
 * @param left The columns that are not aligned right.
 * @returns The lines.
 */
export function aligned(
  rows: readonly (readonly string[])[],
  left: readonly number[] = [0],
): string[] {
  const widths = rows[0]!.map((_, c) => Math.max(...rows.map((row) => row[c]!.length)));
  return rows.map((row) =>
    row.map((cell, c) => left.includes(c) ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))
      .join("  ").trimEnd()
  );
}
