/**
 * Answers requests over HTTP with a trained model; see `deno run -A cli/serve.ts --help`.
 *
 * @module
 */

import { processOutput } from "./shared/output.ts";
import { serveCommand } from "./serve/command.ts";

if (import.meta.main) Deno.exit(await serveCommand(Deno.args, processOutput()));
