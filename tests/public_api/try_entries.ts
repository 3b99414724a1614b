/** Tries every mutation of every entry; runs in a process of its own, which a fault may end. @module */

import { type Entry, Wrong } from "./entry.ts";
import { type Mutation, mutationsOf, scramble } from "./mutations.ts";
import { difference, faultOfError, readResult } from "./outcome.ts";
import { World } from "./world.ts";

/** What the tries came to. */
export interface Tally {
  entries: number;
  tries: number;
  errors: number;
  /** Results equal to the reference. */
  results: number;
  /** Each fault, with the call that showed it. */
  readonly faults: string[];
}

const CHANGED: Mutation = { name: "arguments changed afterwards", apply: () => {} };
const VALID: readonly Mutation[] = [{ name: "as it is", apply: () => {} }, CHANGED];

/**
 * Tries entries one after another.
 *
 * @param entries What to try.
 * @param announce Told of each call before it is made.
 * @returns Counts and faults.
 */
export async function tryEntries(
  entries: readonly Entry[],
  announce: (call: string) => void,
): Promise<Tally> {
  const tally: Tally = { entries: 0, tries: 0, errors: 0, results: 0, faults: [] };
  let world = await World.open();
  const attempt = async (entry: Entry, mutation: Mutation) => {
    const call = `${nameOf(entry)}: ${mutation.name}`;
    announce(call);
    tally.tries++;
    try {
      const fault = await tryOnce(world, entry, mutation, tally);
      if (fault) tally.faults.push(`${call}: ${fault}`);
      if (isClosed(world)) {
        world = await World.open();
        return;
      }
      const { inUse } = world.device.statistics();
      if (inUse > 0) throw new Error(`left ${inUse} bytes behind`);
    } catch (error) {
      // Blocks are checked when a try ends; a device that found damage is not trusted again.
      tally.faults.push(`${call}: ${Deno.inspect(error).split("\n").slice(0, 4).join(" ")}`);
      world = await World.open();
    }
  };
  for (const entry of entries) {
    tally.entries++;
    for (const mutation of VALID) await attempt(entry, mutation);
    for (const mutation of await listMutations(world, entry)) await attempt(entry, mutation);
  }
  world.close();
  return tally;
}

function isClosed({ device }: World): boolean {
  try {
    device.statistics();
    return false;
  } catch {
    return true;
  }
}

function nameOf({ of, variant }: Entry): string {
  return variant ? `${of} (${variant})` : of;
}

async function listMutations(world: World, entry: Entry): Promise<Mutation[]> {
  using _scope = world.device.scope();
  const list = mutationsOf(await entry.make(world), world, entry.object ? 1 : 0);
  world.endTry();
  return list;
}

async function tryOnce(
  world: World,
  entry: Entry,
  mutation: Mutation,
  tally: Tally,
): Promise<string | null> {
  using _scope = world.device.scope();
  using _other = world.other.scope();
  try {
    const args = [...await entry.make(world)];
    mutation.apply(args, world);
    const host = world.toHost(args) as unknown[];
    const given = await outcome(world, entry, args, mutation === CHANGED);
    if ("error" in given) {
      if (VALID.includes(mutation)) return `refused a valid call: ${given.error}`;
      tally.errors++;
      return faultOfError(given.error);
    }
    tally.results++;
    return judge(entry, host, given.value, mutation);
  } finally {
    world.endTry();
  }
}

async function outcome(
  world: World,
  entry: Entry,
  args: unknown[],
  change: boolean,
): Promise<{ error: unknown } | { value: unknown }> {
  try {
    const promised = entry.call(...args);
    if (change) args.slice(entry.object ? 1 : 0).forEach((value) => scramble(value, world));
    return { value: await readResult(promised) };
  } catch (error) {
    return { error };
  }
}

function judge(
  entry: Entry,
  host: readonly unknown[],
  value: unknown,
  { isNonFinite = false }: Mutation,
): string | null {
  let right;
  try {
    right = entry.right(...host);
  } catch (error) {
    if (!(error instanceof Wrong)) return `no right value: ${error}; gave ${short(value)}`;
    return `gave ${short(value)} for ${error.message}`;
  }
  return difference(value, right, isNonFinite);
}

function short(value: unknown): string {
  return Deno.inspect(value, { depth: 2, iterableLimit: 4, breakLength: Infinity }).slice(0, 120);
}
