/**
 * Measures a trained model on texts and tasks; see `deno run -A cli/evaluate.ts --help`.
 *
 * @module
 */

import { evaluateCommand } from "./evaluate/command.ts";
import { processOutput } from "./shared/output.ts";

if (import.meta.main) {
  Deno.exit(await evaluateCommand(Deno.args, processOutput()));
}
