/**
 * Heat maps of expert load: colours around the fair share, numbers, and axes with few labels.
 *
 * @module
 */

import { IDLE, LOAD, type Spec } from "./theme.ts";

/** Levels of the legend; colours saturate at a quarter of the fair share and at four times it. */
const LEVELS = [-2, -1, 0, 1, 2];

/** An axis without lines. */
export const PLAIN: Spec = { labelAngle: 0, ticks: false, domain: false, minExtent: 0 };
/** Not `PAPER`'s white, which the page replaces where it is dark. */
const [ON_DARK, ON_LIGHT] = ["#fefefe", "#101010"];

/**
 * Places a load on the scale of colours.
 *
 * @param ratio The load as a multiple of the fair share.
 * @returns Its binary logarithm, clamped to the levels of the legend.
 */
export function loadLevel(ratio: number): number {
  return Math.max(-2, Math.min(2, Math.log2(ratio)));
}

/**
 * The colour channel of a load.
 *
 * @returns A channel on the fields `level` and `ratio`.
 */
export function loadColour(): Spec {
  return {
    condition: { test: "datum.ratio === 0", value: IDLE },
    field: "level",
    type: "quantitative",
    scale: { domain: LEVELS, range: LOAD },
    legend: {
      title: "load / fair share",
      orient: "right",
      values: LEVELS,
      labelExpr: "['≤ ¼', '½', '1', '2', '≥ 4'][datum.value + 2]",
      gradientLength: 110,
      labelOffset: 6,
      offset: 16,
    },
  };
}

/**
 * Writes a number in each cell.
 *
 * @param field The field with the number.
 * @param format Its format.
 * @returns A layer.
 */
export function numbers(field = "ratio", format = ".2f"): Spec {
  return {
    mark: { type: "text", fontSize: 11 },
    encoding: {
      text: { field, type: "quantitative", format },
      color: { condition: { test: "abs(datum.level) > 1.3", value: ON_DARK }, value: ON_LIGHT },
    },
  };
}

/**
 * An axis with only as many labels as fit.
 *
 * @param count Number of cells.
 * @param step Pixels of a cell.
 * @returns The axis.
 */
export function thinned(count: number, step: number): Spec {
  const every = [1, 2, 4, 8, 16, 32].find((every) => every * step >= 16) ?? 64;
  const values = Array.from({ length: Math.ceil(count / every) }, (_, index) => index * every);
  return { values, ...PLAIN };
}

/**
 * Explains the colour of idle experts.
 *
 * @param cells The cells of a chart.
 * @returns The end of a subtitle; empty if there is no idle expert.
 */
export function idleText(cells: readonly { readonly ratio: number }[]): string {
  return cells.some(({ ratio }) => ratio === 0) ? "; black: no row at all" : "";
}
