/** Runs an area's tries in a child process with guarded memory and limits. @module */

import { fileURLToPath } from "node:url";
import type { Tally } from "./try_entries.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const LIMITS = { REMOE_MEMORY_LIMIT: String(2 ** 28), REMOE_MEMORY_GUARD: "1" };

/** Stands for all areas together. */
export const ALL = "all areas";

/** What a child is to try. */
export interface Wanted {
  /** Tries only entries whose names contain this. */
  readonly only?: string;
  /** Tries every mutation, even of slow calls. */
  readonly all?: boolean;
  /** Tries this many random pairs of mutations instead of single ones. */
  readonly pairs?: { readonly count: number; readonly seed: number };
  /** Seconds before the child is killed, since a hanging call is a fault; default 120. */
  readonly seconds?: number;
}

/**
 * Tries an area in its own folder, which takes whatever a call writes to a relative path.
 *
 * @param area Its name, or {@linkcode ALL}.
 * @param wanted What to try; default every mutation of every entry.
 * @returns Counts and faults; a crash or a hang is a fault that names the call.
 */
export async function tryArea(area: string, wanted: Wanted = {}): Promise<Tally> {
  const { seconds = 120 } = wanted;
  const folder = await Deno.makeTempDir({ prefix: "remoe-matrix-", ...inMemory() });
  const args = ["run", "-A", "--quiet", "--v8-flags=--max-old-space-size=1024"];
  const child = `${ROOT}tests/public_api/child.ts`;
  try {
    const output = await new Deno.Command(Deno.execPath(), {
      args: [...args, "--config", `${ROOT}deno.json`, child, area, JSON.stringify(wanted)],
      cwd: folder,
      env: { NO_COLOR: "1", ...LIMITS },
      signal: AbortSignal.timeout(1000 * seconds),
    }).output();
    return tallyOf(area, output, seconds);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A file system in memory: a thousand checkpoints need not wait for a disk. */
function inMemory(): Deno.MakeTempOptions {
  const dir = "/dev/shm";
  try {
    return Deno.statSync(dir).isDirectory ? { dir } : {};
  } catch {
    return {};
  }
}

function tallyOf(area: string, output: Deno.CommandOutput, seconds: number): Tally {
  const [lines, errors] = [output.stdout, output.stderr].map((b) => new TextDecoder().decode(b));
  // A killed child may have left a partial line.
  const whole = lines!.slice(0, lines!.lastIndexOf("\n"));
  const last = whole.split("\n").slice(-1).map((line) => line && JSON.parse(line))[0];
  if (last?.tally) return last.tally;
  const end = output.signal === "SIGTERM"
    ? `did not end within ${seconds} s`
    : `ended the process with ${output.code} ${output.signal}`;
  const fault = `${last?.call ?? area}: ${end}`;
  return { entries: 0, tries: 0, errors: 0, results: 0, faults: [`${fault}\n${errors}`] };
}
