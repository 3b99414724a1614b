/**
 * Exchanges models with Hugging Face transformers; see `deno run -A cli/convert.ts --help`.
 *
 * @module
 */

import { convertCommand } from "./convert/command.ts";
import { processOutput } from "./shared/output.ts";

if (import.meta.main) Deno.exit(await convertCommand(Deno.args, processOutput()));
