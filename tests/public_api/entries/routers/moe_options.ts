/** The sizes of layers with experts. @module */

import { demand } from "../../entry.ts";
import { demandSizes } from "../layers.ts";

/** Options of a layer with experts, as far as they decide its shapes. */
export interface MoeOptions {
  router: Record<string, unknown>;
  hidden: number;
  width: number;
  layer?: number;
  kept?: { rows: number };
  capacity?: unknown;
  name?: string;
}

/** Shapes of the layer's parameters. */
export function moeShapes(
  { router, hidden, width, layer = 0, kept, capacity = "full", name = "experts" }: MoeOptions,
) {
  demand(typeof router === "object" && router !== null, "router");
  for (const method of ["route", "parameters"]) {
    demand(typeof router[method] === "function", method);
  }
  demandSizes(router, "experts");
  demand(router.hidden === hidden, "hidden");
  demand(Number.isInteger(layer) && layer >= 0 && layer < 2, "layer");
  if (kept !== undefined) {
    demand(typeof kept === "object" && kept !== null, "kept");
    demand(kept.rows === Infinity || (Number.isInteger(kept.rows) && kept.rows >= 0), "rows");
  }
  if (capacity !== "full") {
    demand(typeof capacity === "object" && capacity !== null, "capacity");
    const { rows } = capacity as { rows?: unknown };
    demand(rows === Infinity || (Number.isInteger(rows) && rows as number >= 1), "capacity.rows");
  }
  const { experts } = router as { experts: number };
  return { [`${name}.w1`]: [experts, hidden, 2 * width], [`${name}.w2`]: [experts, width, hidden] };
}
