/**
 * Colours and fonts of the charts. Charts are drawn in the light colours; each has a counterpart
 * for dark pages.
 *
 * @module
 */

import type { Stage } from "../checkpoint/stage.ts";

/** A fragment of a Vega-Lite specification, as plain JSON. */
export interface Spec {
  readonly [key: string]: unknown;
}

/** A colour on a light page and on a dark one. */
export interface Colour {
  /** On white. */
  readonly light: string;
  /** On near black. */
  readonly dark: string;
}

/** Background. */
export const PAPER: Colour = { light: "#ffffff", dark: "#14171a" };
/** Text, and marks that belong to no run. */
export const INK: Colour = { light: "#1f2328", dark: "#e6e9ec" };
/** Axes and subtitles. */
export const MUTED: Colour = { light: "#59626b", dark: "#a0a9b2" };
/** Grid lines. */
export const GRID: Colour = { light: "#e1e4e8", dark: "#2c3238" };

/**
 * Curve colours, distinct to colour-blind readers, too: those of Okabe and Ito without their black
 * and their yellow, which is lost on white, and two more.
 */
export const CURVES: readonly Colour[] = [
  { light: "#0072b2", dark: "#4aa8e0" },
  { light: "#d55e00", dark: "#ff8a3d" },
  { light: "#009e73", dark: "#2cc79b" },
  { light: "#cc79a7", dark: "#e39bc4" },
  { light: "#e69f00", dark: "#f2b632" },
  { light: "#56b4e9", dark: "#86cdf5" },
  { light: "#7a5c3e", dark: "#c29b74" },
  { light: "#6b6fd4", dark: "#9da0f2" },
];

/** Background colours of a run's stages. */
export const STAGES: Readonly<Record<Stage, Colour>> = {
  dense: { light: "#fdf0d5", dark: "#3a3020" },
  sparsifying: { light: "#dcebf7", dark: "#1d3142" },
  sparse: { light: "#f6f7f8", dark: "#1b1f23" },
};

/** Load colours, from far below the fair share to far above it. */
export const LOAD: readonly string[] = ["#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b"];
/** Colour of an expert without tokens. */
export const IDLE = "#0b0b0b";

/** Colours that differ between light and dark pages. */
export const COLOURS: readonly Colour[] = [
  PAPER,
  INK,
  MUTED,
  GRID,
  ...CURVES,
  ...Object.values(STAGES),
];

const FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif";

/** Vega-Lite properties that all charts share. */
export const THEME: Spec = {
  background: PAPER.light,
  padding: 12,
  config: {
    aria: false,
    font: FONT,
    view: { stroke: null },
    title: {
      anchor: "start",
      frame: "group",
      fontSize: 15,
      color: INK.light,
      subtitleColor: MUTED.light,
      subtitleFontSize: 12,
      subtitlePadding: 5,
      offset: 12,
    },
    axis: {
      labelFontSize: 12,
      titleFontSize: 12,
      titleFontWeight: "normal",
      titlePadding: 8,
      labelColor: INK.light,
      titleColor: INK.light,
      domainColor: MUTED.light,
      tickColor: MUTED.light,
      gridColor: GRID.light,
      labelOverlap: true,
    },
    axisY: { minExtent: 44 },
    legend: {
      orient: "bottom",
      labelFontSize: 12,
      labelColor: INK.light,
      titleFontSize: 12,
      titleFontWeight: "normal",
      titleColor: INK.light,
      labelLimit: 620,
      symbolStrokeWidth: 2,
      offset: 14,
      layout: { bottom: { anchor: "start", direction: "horizontal", margin: 24 } },
    },
  },
};

/**
 * The colour of the n-th curve.
 *
 * @param index From 0; the colours repeat after the last.
 * @returns The colour on a light page.
 */
export function curveColour(index: number): string {
  return CURVES[index % CURVES.length]!.light;
}
