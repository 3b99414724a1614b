/** Runs an area's tries in a process of its own, guarded and bounded. @module */

import { fileURLToPath } from "node:url";
import type { Tally } from "./try_entries.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const LIMITS = { REMOE_MEMORY_LIMIT: String(2 ** 28), REMOE_MEMORY_GUARD: "1" };

/**
 * Tries an area.
 *
 * @param area Its name.
 * @param only Tries only entries with this in their names.
 * @returns Counts and faults; a crash is a fault that names the call.
 */
export async function tryArea(area: string, only = ""): Promise<Tally> {
  const args = ["run", "-A", "--quiet", "--v8-flags=--max-old-space-size=1024"];
  const output = await new Deno.Command(Deno.execPath(), {
    args: [...args, "--config", "deno.json", "tests/public_api/child.ts", area, "0", only],
    cwd: ROOT,
    env: { NO_COLOR: "1", ...LIMITS },
  }).output();
  const [lines, errors] = [output.stdout, output.stderr].map((b) => new TextDecoder().decode(b));
  const last = lines!.trimEnd().split("\n").slice(-1).map((line) => line && JSON.parse(line))[0];
  if (last?.tally) return last.tally;
  const fault = `${last?.call ?? area}: ended the process with ${output.code} ${output.signal}`;
  return { entries: 0, tries: 0, errors: 0, results: 0, faults: [`${fault}\n${errors}`] };
}
