/** The row of the sigmoid router. @module */

import { completeRow } from "../complete_row.ts";
import { routedSizes } from "../layer_sizes.ts";
import type { RouterSpec } from "../router_row.ts";
import { GATE_SCALE, type GateScaleKeys, scaledFootprint } from "./gate_scale.ts";

/**
 * Whether the sigmoid router divides a token's gates by their sum: `auto` where it has more than one,
 * since a single gate would always be 1.
 */
export type NormalizeName = "auto" | "never";

/** Settings of the sigmoid router. */
export interface SigmoidKeys extends GateScaleKeys {
  /** Whether the sigmoid router divides a token's gates by their sum. */
  readonly normalize: NormalizeName;
  /** By how much the sigmoid router's biases move after each step. */
  readonly bias_rate: number;
}

/** The row of the sigmoid router. */
export const SIGMOID: RouterSpec<SigmoidKeys> = completeRow<SigmoidKeys>({
  about: "the k largest of sigmoid score + bias; biases that follow the load, without a loss term",
  exact: true,
  keys: {
    normalize: {
      type: "choice",
      values: ["auto", "never"],
      default: "auto",
      about: "Whether the sigmoid router divides a token's gates by their sum, if it has several",
    },
    bias_rate: {
      type: "number",
      default: 0.001,
      about: "By how much the sigmoid router's biases move after each step",
    },
    gate_scale: GATE_SCALE,
  },
  footprint: scaledFootprint,
  activeFrom: (moe) => [{ from: 0, most: routedSizes(moe).active }],
  starving: ({ bias_rate }) =>
    `a larger moe.bias_rate than ${bias_rate} or a lower learning rate helps`,
});
