/**
 * Continues texts with a trained model; see `deno run -A cli/generate.ts --help`.
 *
 * @module
 */

import { generateCommand } from "./generate/command.ts";
import { processOutput } from "./shared/output.ts";

if (import.meta.main) {
  const input = {
    isTerminal: Deno.stdin.isTerminal(),
    read: async () => new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer()),
  };
  Deno.exit(await generateCommand(Deno.args, processOutput(), input));
}
