/**
 * Looks into a trained model; see `deno run -A cli/analyze.ts --help`.
 *
 * @module
 */

import { analyzeCommand } from "./analyze/command.ts";
import { processOutput } from "./shared/output.ts";
import { loadRenderer } from "./shared/render.ts";

if (import.meta.main) {
  Deno.exit(await analyzeCommand(Deno.args, processOutput(), loadRenderer));
}
