/** The key that scales the gates of topk and sigmoid. @module */

import type { NumberKey } from "../router_row.ts";

/** The constant factor of a router's gates. */
export interface GateScaleKeys {
  /** Constant factor of the topk and sigmoid routers' gates. */
  readonly gate_scale: number;
}

/** Definition of `gate_scale`. */
export const GATE_SCALE: NumberKey = {
  type: "number",
  above: 0,
  default: 1,
  about: "Constant factor of the topk and sigmoid routers' gates",
};
