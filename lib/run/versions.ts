/** The software a run was made with. @module */

import metadata from "../../deno.json" with { type: "json" };

/** Versions of this package and of the runtime, for checkpoints. */
export function versions(): Record<string, string> {
  return { remoe: metadata.version, deno: Deno.version.deno, v8: Deno.version.v8 };
}
