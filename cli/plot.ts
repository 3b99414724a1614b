/**
 * Draws charts of runs; see `deno run -A cli/plot.ts --help`.
 *
 * @module
 */

import { processOutput } from "./shared/output.ts";
import { plotCommand } from "./plot/command.ts";
import { loadRenderer } from "./shared/render.ts";

if (import.meta.main) {
  Deno.exit(await plotCommand(Deno.args, processOutput(), loadRenderer));
}
