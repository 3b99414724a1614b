/**
 * Draws the figures of runs: `deno run -A cli/plot.ts --help` says how.
 *
 * @module
 */

import { processOutput } from "./_output.ts";
import { plotCommand } from "./_plot_command.ts";
import { loadRenderer } from "./_plot_render.ts";

if (import.meta.main) {
  Deno.exit(await plotCommand(Deno.args, processOutput(), loadRenderer));
}
