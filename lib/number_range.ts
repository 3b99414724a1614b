/** Ranges of finite numbers, and how error messages word them. @module */

/** Bounds of a finite number. */
export interface NumberRange {
  /** Inclusive lower bound. Default none. */
  readonly least?: number;
  /** Exclusive lower bound. Default none. */
  readonly above?: number;
  /** Exclusive upper bound. Default none. */
  readonly below?: number;
}

/**
 * Whether a value is a finite number in a range.
 *
 * @param value Any value.
 * @param range The bounds.
 * @returns Whether it is.
 */
export function isFiniteIn(
  value: unknown,
  { least = -Infinity, above = -Infinity, below = Infinity }: NumberRange,
): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= least && value > above &&
    value < below;
}

/**
 * Describes what {@linkcode isFiniteIn} accepts: `a finite number of at least 0 and below 1`.
 *
 * @param range The bounds.
 * @returns The description, to follow "expected".
 */
export function finiteNumber({ least, above, below }: NumberRange): string {
  const bounds = [
    ...(least === undefined ? [] : [`of at least ${least}`]),
    ...(above === undefined ? [] : [`above ${above}`]),
    ...(below === undefined ? [] : [`below ${below}`]),
  ];
  return bounds.length === 0 ? "a finite number" : `a finite number ${bounds.join(" and ")}`;
}
