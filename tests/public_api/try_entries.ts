/** Tries every mutation of every entry, in a child process that a fault may end. @module */

import { philox4x32, philoxKey } from "@remoe/remoe/data";
import { type Entry, Wrong } from "./entry.ts";
import { type Mutation, mutationsOf, pairOf, scramble } from "./mutations.ts";
import { difference, faultOfError, readResult } from "./outcome.ts";
import { World } from "./world.ts";

/** The tally of the tries. */
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
 * Tries entries one after another: unchanged, and with each mutation.
 *
 * @param entries What to try.
 * @param announce Told of each call before it is made.
 * @param all Whether slow calls are tried with all mutations.
 * @returns Counts and faults.
 */
export async function tryEntries(
  entries: readonly Entry[],
  announce: (call: string) => void,
  all: boolean,
): Promise<Tally> {
  const tries = await Tries.open(announce);
  for (const entry of entries) {
    tries.tally.entries++;
    for (const mutation of VALID) await tries.attempt(entry, mutation);
    const list = await tries.mutationsOf(entry);
    const most = all ? list.length : entry.tries ?? list.length;
    for (const mutation of evenly(list, most)) await tries.attempt(entry, mutation);
  }
  return tries.end();
}

/**
 * Tries random pairs of mutations of random entries.
 *
 * @param entries What to choose from.
 * @param pairs The number of tries and the seed for choosing them.
 * @param announce Told of each call before it is made.
 * @returns Counts and faults.
 */
export async function tryPairs(
  entries: readonly Entry[],
  { count, seed }: { readonly count: number; readonly seed: number },
  announce: (call: string) => void,
): Promise<Tally> {
  const tries = await Tries.open(announce);
  const seen = new Set<Entry>();
  const lists = new Map<Entry, readonly Mutation[]>();
  for (let i = 0; i < count; i++) {
    const [which = 0, one = 0, other = 0] = philox4x32([i, 0, 0, 0], philoxKey(seed));
    const entry = entries[which % entries.length]!;
    const list = lists.get(entry) ?? await tries.mutationsOf(entry);
    lists.set(entry, list);
    await tries.attempt(entry, pairOf(list[one % list.length]!, list[other % list.length]!));
    seen.add(entry);
  }
  tries.tally.entries = seen.size;
  return tries.end();
}

/** The given number of items, spread evenly over a list. */
function evenly<T>(list: readonly T[], most: number): readonly T[] {
  const count = Math.min(most, list.length);
  return Array.from({ length: count }, (_, i) => list[Math.floor(i * list.length / count)]!);
}

/** The running tally, and the world that the tries use. */
class Tries {
  readonly tally: Tally = { entries: 0, tries: 0, errors: 0, results: 0, faults: [] };

  private constructor(private world: World, readonly announce: (call: string) => void) {}

  static async open(announce: (call: string) => void): Promise<Tries> {
    return new Tries(await World.open(), announce);
  }

  async attempt(entry: Entry, mutation: Mutation): Promise<void> {
    const { tally, world } = this;
    const call = `${nameOf(entry)}: ${mutation.name}`;
    this.announce(call);
    tally.tries++;
    try {
      const fault = await tryOnce(world, entry, mutation, tally);
      if (fault) tally.faults.push(`${call}: ${fault}`);
      if (isClosed(world)) {
        world.close();
        this.world = await World.open();
        return;
      }
      const { inUse } = world.device.statistics();
      if (inUse > 0) throw new Error(`left ${inUse} bytes behind`);
    } catch (error) {
      // Blocks are checked after each try; a device that found damage is not reused.
      tally.faults.push(`${call}: ${Deno.inspect(error).split("\n").slice(0, 4).join(" ")}`);
      this.world = await World.open();
    }
  }

  async mutationsOf(entry: Entry): Promise<Mutation[]> {
    const { world } = this;
    using _scope = world.device.scope();
    const list = mutationsOf(await entry.make(world), world, entry.object ? 1 : 0);
    world.endTry();
    return list;
  }

  end(): Tally {
    this.world.close();
    return this.tally;
  }
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
    const hosts = [world.toHost(args)] as unknown[][];
    if (mutation.isTwoFaced) hosts.push(world.toHost(args, Array.from<unknown>) as unknown[]);
    mutation.beforeCall?.();
    const given = await outcome(world, entry, args, mutation === CHANGED);
    if ("error" in given) {
      if (VALID.includes(mutation)) return `refused a valid call: ${given.error}`;
      tally.errors++;
      return faultOfError(given.error);
    }
    tally.results++;
    const faults = hosts.map((host) => judge(entry, host, given.value, mutation));
    return faults.includes(null) ? null : faults[0]!;
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
