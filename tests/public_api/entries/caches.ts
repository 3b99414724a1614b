/** The key-value cache: what it holds shows in attention's output. @module */

import * as remoe from "@remoe/remoe";
import { extendToken } from "../../../kernels/cases/reference/attention_extend.ts";
import { demand, demandTensor, type Entry, f32, type HostTensor } from "../entry.ts";
import type { World } from "../world.ts";
import { demandSizes } from "./layers.ts";

const BATCH = 2;
const CAPACITY = 5;
const HEAD_DIM = 4;
const ROW = 2 * HEAD_DIM;
/** Columns of a token's query, key and value. */
const COLUMNS = 3 * HEAD_DIM;
const BASE = 10_000;

function cacheOf(w: World): remoe.KeyValueCache {
  const sizes = { layers: 1, groups: 1, headDim: HEAD_DIM, batch: BATCH, capacity: CAPACITY };
  return w.using(new remoe.KeyValueCache(w.device, sizes));
}

/** What {@linkcode cacheOf} holds, on the host. */
type Held = readonly Float64Array[];

function empty(): Held {
  return Array.from({ length: BATCH }, () => new Float64Array(CAPACITY * ROW));
}

/** Keys and values of whole sequences: the last columns of each row. */
function filled({ shape, data }: HostTensor, sequence: number): Held {
  const [, columns] = shape as readonly [number, number];
  const held = empty();
  for (let r = 0; r < BATCH * sequence; r++) {
    const row = data.slice((r + 1) * columns - ROW, (r + 1) * columns);
    held[Math.floor(r / sequence)]!.set(row, r % sequence * ROW);
  }
  return held;
}

/** The attention output of one new token per sequence, whose key and value are then cached. */
function attended(
  held: Held,
  lengths: readonly number[],
  { data }: HostTensor,
  ropeBase = BASE,
): HostTensor {
  const sizes = { heads: 1, groups: 1, headDim: HEAD_DIM, ropeBase };
  const rows = lengths.map((length, b) => {
    const qkv = Float64Array.from(data.slice(b * COLUMNS, (b + 1) * COLUMNS));
    return extendToken(qkv, held[b]!, length, sizes);
  });
  return f32([BATCH, HEAD_DIM], rows.flatMap((row) => [...row]));
}

function demandFill(layer: unknown, qkv: unknown, sequence: unknown): asserts qkv is HostTensor {
  demand(layer === 0, "layer");
  demandTensor(qkv);
  demand(Number.isInteger(sequence), "sequence");
  demand(sequence as number > 0 && sequence as number <= CAPACITY, "range");
  demand(qkv.shape.length === 2 && qkv.shape[0] === BATCH * (sequence as number), "rows");
  demand(qkv.shape[1]! >= ROW, "columns");
}

function demandNext(next: unknown): asserts next is HostTensor {
  demandTensor(next);
  demand(next.shape.join() === `${BATCH},${COLUMNS}`, "row");
}

function demandRowList(rows: unknown): asserts rows is readonly number[] {
  const isRow = (row: unknown) => Number.isInteger(row) && row as number >= 0 && row as number < 2;
  demand(Array.isArray(rows) && Array.from(rows).every(isRow), "rows");
  demand(new Set(rows).size === rows.length, "different rows");
}

/** The rows and counts of new tokens that fit behind `lengths`. */
function demandAdded(
  added: unknown = {},
  lengths: readonly number[],
): { rows: readonly number[]; counts: readonly number[] } {
  demand(typeof added === "object" && added !== null && !Array.isArray(added), "added");
  demand(Object.keys(added).every((key) => ["rows", "counts"].includes(key)), "keys");
  const { rows = [0, 1], counts } = added as { rows?: unknown; counts?: unknown };
  demandRowList(rows);
  demand(rows.length > 0, "a row");
  const given = counts === undefined ? rows.map(() => 1) : counts;
  demand(Array.isArray(given) && given.length === rows.length, "counts");
  for (const [i, count] of Array.from(given).entries()) {
    demand(Number.isInteger(count) && count > 0, "count");
    demand(lengths[rows[i]!]! + count <= CAPACITY, "room");
  }
  return { rows, counts: given };
}

function demandLengths(lengths: unknown, most: number): asserts lengths is readonly number[] {
  demand(Array.isArray(lengths) && lengths.length === BATCH, "lengths");
  for (const n of lengths) demand(Number.isInteger(n) && n >= 0 && n <= most, "length");
}

/** Entries of {@linkcode remoe.KeyValueCache}. */
export const caches: readonly Entry[] = [
  {
    of: "new KeyValueCache",
    make: (w) => [w.device, { layers: 1, groups: 1, headDim: 4, batch: 2, capacity: 5 }],
    call: (device, options) => {
      using cache = new remoe.KeyValueCache(device, options);
      return [cache.batch, cache.capacity, ...cache.lengths];
    },
    right: (device, options) => {
      demand(device instanceof remoe.Device, "device");
      demandSizes(options, "layers", "groups", "headDim", "batch", "capacity");
      return [options.batch, options.capacity, ...Array<number>(options.batch).fill(0)];
    },
  },
  {
    of: "KeyValueCache.setLengths",
    make: (w) => [cacheOf(w), [1, 4], w.f32([8, COLUMNS]), w.f32([BATCH, COLUMNS])],
    call: (cache, lengths, qkv, next) => {
      cache.fill(0, qkv, 4);
      cache.setLengths(lengths);
      return cache.attend(0, next, 1, BASE);
    },
    right: (_, lengths, qkv, next) => {
      demandFill(0, qkv, 4);
      demandNext(next);
      demandLengths(lengths, 4);
      return attended(filled(qkv, 4), lengths, next);
    },
    object: true,
  },
  {
    of: "KeyValueCache.setLengths",
    variant: "of a cache that holds nothing",
    make: (w) => [cacheOf(w), [0, 0]],
    call: (cache, lengths) => cache.setLengths(lengths),
    right: (_, lengths) => demandLengths(lengths, 0),
    object: true,
  },
  {
    of: "KeyValueCache.lengths",
    make: (w) => [cacheOf(w), w.f32([6, COLUMNS])],
    call: (cache, qkv) => {
      cache.fill(0, qkv, 3);
      cache.setLengths([2, 3]);
      return cache.lengths;
    },
    right: (_, qkv) => (demandFill(0, qkv, 3), [2, 3]),
    object: true,
  },
  {
    of: "KeyValueCache.requireRoom",
    make: (w) => [cacheOf(w)],
    call: (cache) => cache.requireRoom(),
    right: () => undefined,
    object: true,
  },
  {
    of: "KeyValueCache.requireRoom",
    variant: "for tokens of some rows",
    make: (w) => [cacheOf(w), { rows: [1], counts: [5] }],
    call: (cache, added) => cache.requireRoom(added),
    right: (_, added) => void demandAdded(added, [0, 0]),
    object: true,
  },
  {
    of: "KeyValueCache.release",
    make: (w) => [cacheOf(w), [1], w.f32([6, COLUMNS])],
    call: (cache, rows, qkv) => {
      cache.fill(0, qkv, 3);
      cache.setLengths([2, 3]);
      cache.release(rows);
      return cache.lengths;
    },
    right: (_, rows, qkv) => {
      demandFill(0, qkv, 3);
      demandRowList(rows);
      return [2, 3].map((length, row) => rows.includes(row) ? 0 : length);
    },
    object: true,
  },
  {
    of: "KeyValueCache.copyRows",
    make: (w) => [cacheOf(w), [1], [0], w.f32([6, COLUMNS]), w.f32([BATCH, COLUMNS])],
    call: (cache, from, to, qkv, next) => {
      cache.fill(0, qkv, 3);
      cache.setLengths([2, 3]);
      cache.copyRows(from, to);
      return [cache.lengths, cache.attend(0, next, 1, BASE)];
    },
    right: (_, from, to, qkv, next) => {
      demandFill(0, qkv, 3);
      demandNext(next);
      demandRowList(to);
      demand(Array.isArray(from) && from.length === to.length, "as many");
      for (const row of from) demandRowList([row]);
      demand(!to.some((row) => from.includes(row)), "apart");
      const [held, lengths] = [filled(qkv, 3) as Float64Array[], [2, 3]];
      for (const [i, row] of to.entries()) {
        held[row] = held[from[i]]!.slice();
        lengths[row] = lengths[from[i]]!;
      }
      return [lengths, attended(held, lengths, next)];
    },
    object: true,
  },
  {
    of: "KeyValueCache.fill",
    make: (w) => [cacheOf(w), 0, w.f32([6, COLUMNS]), 3, w.f32([BATCH, COLUMNS])],
    call: (cache, layer, qkv, sequence, next) => {
      cache.fill(layer, qkv, sequence);
      cache.setLengths([sequence, sequence]);
      return cache.attend(0, next, 1, BASE);
    },
    right: (_, layer, qkv, sequence, next) => {
      demandFill(layer, qkv, sequence);
      demandNext(next);
      demand(sequence < CAPACITY, "room");
      return attended(filled(qkv, sequence), [sequence, sequence], next);
    },
    object: true,
  },
  {
    of: "KeyValueCache.attend",
    make: (w) => [cacheOf(w), 0, w.f32([BATCH, COLUMNS]), 1, BASE, w.f32([BATCH, COLUMNS])],
    call: (cache, layer, qkv, heads, base, next) => {
      const first = cache.attend(layer, qkv, heads, base);
      cache.setLengths([1, 1]);
      return [first, cache.attend(layer, next, heads, base)];
    },
    right: (_, layer, qkv, heads, base, next) => {
      demand(layer === 0 && heads === 1 && Number.isFinite(base) && base > 0, "sizes");
      demandNext(qkv);
      demandNext(next);
      const held = empty();
      return [attended(held, [0, 0], qkv, base), attended(held, [1, 1], next, base)];
    },
    object: true,
  },
  {
    of: "KeyValueCache.attend",
    variant: "of some rows",
    make: (w) => [
      ...[cacheOf(w), 0, w.f32([2, COLUMNS]), 1, BASE, { rows: [1], counts: [2] }],
      w.f32([BATCH, COLUMNS]),
    ],
    call: (cache, layer, qkv, heads, base, added, next) => {
      const first = cache.attend(layer, qkv, heads, base, added);
      return [first, cache.attend(layer, next, heads, base)];
    },
    right: (_, layer, qkv, heads, base, added, next) => {
      demand(layer === 0 && heads === 1 && Number.isFinite(base) && base > 0, "sizes");
      const { rows, counts } = demandAdded(added, [0, 0]);
      demandTensor(qkv);
      const total = counts.reduce((sum, count) => sum + count, 0);
      demand(qkv.shape.join() === `${total},${COLUMNS}`, "rows");
      demandNext(next);
      const sizes = { heads: 1, groups: 1, headDim: HEAD_DIM, ropeBase: base };
      const held = empty();
      let at = 0;
      const out = rows.flatMap((row, i) =>
        Array.from({ length: counts[i]! }, (_, t) => {
          const token = Float64Array.from(qkv.data.slice(at * COLUMNS, (at + 1) * COLUMNS));
          at++;
          return [...extendToken(token, held[row]!, t, sizes)];
        })
      );
      return [f32([total, HEAD_DIM], out.flat()), attended(empty(), [0, 0], next, base)];
    },
    object: true,
  },
];
