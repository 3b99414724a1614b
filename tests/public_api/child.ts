/** Tries the entries of one area and reports on standard output, a line each. @module */

import { areas } from "./entries/mod.ts";
import { tryEntries } from "./try_entries.ts";

const encoder = new TextEncoder();
const say = (line: unknown) => Deno.stdout.writeSync(encoder.encode(`${JSON.stringify(line)}\n`));
const [area, skip = "0", only = ""] = Deno.args;
const entries = areas[area!]!.slice(Number(skip)).filter(({ of }) => of.includes(only));
say({ tally: await tryEntries(entries, (call) => say({ call })) });
