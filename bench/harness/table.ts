/** Markdown tables, so that a run's output can be kept as it is. @module */

/** A column: its title and how its cells are aligned. */
export interface Column {
  /** The title. */
  readonly title: string;
  /** Whether cells are numbers, which are aligned right. */
  readonly isNumber?: boolean;
}

/**
 * Formats a table.
 *
 * @param columns The columns.
 * @param rows The cells, row by row.
 * @returns Lines of equal width.
 */
export function markdownTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const widths = columns.map(({ title }, i) =>
    Math.max(3, title.length, ...rows.map((row) => row[i]!.length))
  );
  const line = (cells: readonly string[]): string => {
    const padded = cells.map((cell, i) =>
      columns[i]!.isNumber ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)
    );
    return `| ${padded.join(" | ")} |`;
  };
  const rule = columns.map(({ isNumber }, i) =>
    isNumber ? `${"-".repeat(widths[i]! - 1)}:` : "-".repeat(widths[i]!)
  );
  return [line(columns.map(({ title }) => title)), line(rule), ...rows.map(line)].join("\n");
}

/**
 * Formats a number with three significant digits and no exponent.
 *
 * @param value The number.
 * @returns Like `0.0123`, `1.23`, `123` or `12345`; a dash if it is 0 or not finite.
 */
export function digits(value: number): string {
  if (!Number.isFinite(value) || value === 0) return "–";
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.min(6, Math.max(0, 2 - magnitude)));
}

/**
 * Formats a time, and marks it if other work disturbed it.
 *
 * @param seconds The time.
 * @param disturbed Whether it is disturbed.
 * @param unit Seconds or milliseconds.
 * @returns Like `1.23`, or `1.23 disturbed`.
 */
export function time(seconds: number, disturbed = false, unit: "s" | "ms" = "ms"): string {
  return digits(unit === "ms" ? seconds * 1e3 : seconds) + (disturbed ? " disturbed" : "");
}

/**
 * Formats a share.
 *
 * @param share The share; 1 is all of it.
 * @returns Like `49 %`; a dash if it is 0 or not finite.
 */
export function percent(share: number): string {
  return !Number.isFinite(share) || share === 0 ? "–" : `${(100 * share).toFixed(0)} %`;
}
