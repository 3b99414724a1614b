/**
 * Measures the width of text. Vega asks a canvas; without one it takes every letter to be 0.8 times
 * as wide as it is high, which would leave legends and titles far apart.
 *
 * @module
 */

/** Widths of Helvetica's letters over their height; all others are as wide as its digits. */
const WIDTHS: readonly (readonly [string, number])[] = [
  ["ijl'|", 0.22],
  [" .,:;!/ftI[]\\", 0.28],
  ['r-()"', 0.34],
  ["cksvxyzJ", 0.5],
  ["ABEKPSVXY&", 0.67],
  ["CDHNRUw", 0.72],
  ["GOQ", 0.78],
  ["mM", 0.83],
  ["W@%", 0.94],
];
const OTHER = 0.556;
/** Fonts that stand in for Helvetica are a little wider, and so are bold letters. */
const MARGIN = 1.04;
const BOLD = 1.07;

const WIDTH_OF: ReadonlyMap<string, number> = new Map(
  WIDTHS.flatMap(([letters, width]) => [...letters].map((letter) => [letter, width] as const)),
);

/**
 * Estimates a text's width.
 *
 * @param text The text.
 * @param size Height of the letters in pixels.
 * @param isBold Whether they are bold.
 * @returns The width in pixels.
 */
export function textWidth(text: string, size: number, isBold = false): number {
  const width = [...text].reduce((sum, letter) => sum + (WIDTH_OF.get(letter) ?? OTHER), 0);
  return width * size * MARGIN * (isBold ? BOLD : 1);
}
