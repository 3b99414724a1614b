/**
 * Compares routers: `deno run -A cli/compare.ts --help` says how.
 *
 * @module
 */

import { launchTrain } from "./compare/child.ts";
import { compareCommand } from "./compare/command.ts";
import { loadRenderer } from "./shared/render.ts";
import { processOutput } from "./shared/output.ts";

if (import.meta.main) {
  const tools = { launch: launchTrain, loadRenderer };
  Deno.exit(await compareCommand(Deno.args, processOutput(), tools));
}
