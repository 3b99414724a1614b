/** The key that scales the gates of topk and sigmoid. @module */

import type { RouterFootprint } from "../router_footprint.ts";
import type { NumberKey } from "../router_keys.ts";

/** The constant factor of a router's gates. */
export interface GateScaleKeys {
  /** Constant factor of the topk and sigmoid routers' gates. */
  readonly gate_scale: number;
}

/** The footprint of a router that keeps its scores, and its gates as they were before scaling. */
export function scaledFootprint({ gate_scale }: GateScaleKeys): RouterFootprint {
  return { kept: gate_scale === 1 ? 1 : 2, scratch: 0 };
}

/** Definition of `gate_scale`. */
export const GATE_SCALE: NumberKey = {
  type: "number",
  above: 0,
  default: 1,
  about: "Constant factor of the topk and sigmoid routers' gates",
};
