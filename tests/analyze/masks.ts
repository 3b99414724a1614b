/** Masks written out by hand. @module */

import { type HostMask, maskFrom } from "../../lib/analyze/host_mask.ts";

/** The mask of rows like `"0110"`: a token per row, an expert per digit. */
export function maskOfRows(...rows: readonly string[]): HostMask {
  const values = rows.flatMap((row) => [...row].map(Number));
  return maskFrom(values, rows.length, rows[0]!.length);
}
