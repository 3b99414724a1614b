/**
 * Tables for help texts.
 *
 * @module
 */

import type { Flags } from "./arguments.ts";

/**
 * Formats flags with their descriptions and defaults.
 *
 * @param flags The flags.
 * @returns The lines.
 */
export function flagTable(flags: Flags): string {
  return table(
    Object.entries(flags).map(([name, flag]): [string, string] => [
      flag.value === undefined ? `--${name}` : `--${name} ${flag.value}`,
      flag.fallback === undefined ? flag.about : `${flag.about} [${flag.fallback}]`,
    ]),
  );
}

/**
 * Formats two columns; if the first cell is too long, the second starts on the next line.
 *
 * @param rows The cells.
 * @param width Width of the first column.
 * @returns The lines.
 */
export function table(rows: readonly (readonly [string, string])[], width = 26): string {
  const indent = `\n${" ".repeat(width + 4)}`;
  return rows.map(([left, right]) => {
    const lines = wrap(right, 96 - width).join(indent);
    return left.length > width ? `  ${left}${indent}${lines}` : `  ${left.padEnd(width)}  ${lines}`;
  }).join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
