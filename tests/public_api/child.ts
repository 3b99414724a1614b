/** Tries the entries of one area and reports on standard output, one line each. @module */

import { areas } from "./entries/mod.ts";
import { ALL, type Wanted } from "./run_child.ts";
import { tryEntries, tryPairs } from "./try_entries.ts";

// Only now, because Deno also looks for its own cache there at start-up.
Deno.env.set("XDG_CACHE_HOME", Deno.cwd());
const encoder = new TextEncoder();
const say = (line: unknown) => Deno.stdout.writeSync(encoder.encode(`${JSON.stringify(line)}\n`));
const [area, given = "{}"] = Deno.args;
const { only = "", all = false, pairs }: Wanted = JSON.parse(given);
const entries = (area === ALL ? Object.values(areas).flat() : areas[area!]!)
  .filter(({ of }) => of.includes(only));
const announce = (call: string) => say({ call });
say({
  tally: pairs
    ? await tryPairs(entries, pairs, announce)
    : await tryEntries(entries, announce, all),
});
