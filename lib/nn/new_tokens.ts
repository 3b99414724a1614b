/** Where new tokens go in a cache. @module */

import { ownList, requireOptions, requireWhole, shown } from "../arguments.ts";
import { writtenTensor } from "../autograd/made_tensors.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";

/** The rows of a cache that get new tokens, and how many. */
export interface NewTokens {
  /** Different rows, in the order of their tokens. Default all, from the first. */
  readonly rows?: readonly number[] | undefined;
  /** New tokens of each of these rows, at least 1. Default one each. */
  readonly counts?: readonly number[] | undefined;
}

/** The same, checked and without defaults. */
export interface PlacedTokens {
  /** The rows. */
  readonly rows: readonly number[];
  /** New tokens of each. */
  readonly counts: readonly number[];
  /** All new tokens. */
  readonly total: number;
}

/** Checks rows of a cache: whole numbers below `batch`, none twice. */
export function cacheRows(
  operation: string,
  given: readonly number[],
  batch: number,
  name = "rows",
): readonly number[] {
  if (!Array.isArray(given)) {
    throw new TypeError(`Cannot ${operation}: ${name} is ${shown(given)}, expected an array`);
  }
  const rows = ownList<number>(given);
  const places = new Map<number, number>();
  for (const [i, row] of rows.entries()) {
    requireWhole(operation, `${name}[${i}]`, row, { most: batch - 1 });
    const before = places.get(row);
    if (before !== undefined) {
      throw new RangeError(
        `Cannot ${operation}: ${name}[${before}] and ${name}[${i}] are both ${row}, expected ` +
          `different rows`,
      );
    }
    places.set(row, i);
  }
  return rows;
}

/** Checks which rows of a cache of `batch` get how many tokens, at least one row one token. */
export function placedTokens(
  operation: string,
  added: NewTokens,
  batch: number,
): PlacedTokens {
  requireOptions(operation, added, { rows: true, counts: true });
  const { rows: givenRows, counts: givenCounts } = added;
  const rows = givenRows === undefined
    ? Array.from({ length: batch }, (_, row) => row)
    : cacheRows(operation, givenRows, batch);
  if (rows.length === 0) {
    throw new RangeError(`Cannot ${operation}: rows is empty, expected at least one`);
  }
  if (givenCounts === undefined) {
    return { rows, counts: new Array<number>(rows.length).fill(1), total: rows.length };
  }
  if (!Array.isArray(givenCounts) || givenCounts.length !== rows.length) {
    throw new RangeError(
      `Cannot ${operation}: counts is ${shown(givenCounts)}, expected an array with one for each ` +
        `of ${rows.length} rows`,
    );
  }
  const counts = ownList<number>(givenCounts);
  let total = 0;
  for (const [i, count] of counts.entries()) {
    requireWhole(operation, `counts[${i}]`, count, { least: 1 });
    total += count;
  }
  return { rows, counts, total };
}

/** The rows and the first token of each, for kernels; null where they are the default. */
export interface DevicePlaces extends Disposable {
  /** The rows, i32. */
  readonly rows: DeviceTensor<"i32"> | null;
  /** Each row's first token, and their total, i32. */
  readonly starts: DeviceTensor<"i32"> | null;
}

/** Uploads where new tokens go in a cache of `batch` rows; dispose of it after the call. */
export function devicePlaces(
  memory: DeviceMemory,
  { rows, counts }: PlacedTokens,
): DevicePlaces {
  using made = new DisposableStack();
  const written = (values: readonly number[]) =>
    made.use(writtenTensor(memory, "i32", Int32Array.from(values), [values.length]));
  const inOrder = rows.every((row, i) => row === i);
  const oneEach = counts.every((count) => count === 1);
  const places = {
    rows: inOrder ? null : written(rows),
    starts: oneEach ? null : written(startsOf(counts)),
  };
  const owned = made.move();
  return { ...places, [Symbol.dispose]: () => owned.dispose() };
}

/** The first token of each sequence, and the total. */
export function startsOf(counts: readonly number[]): number[] {
  const starts = [0];
  for (const count of counts) starts.push(starts.at(-1)! + count);
  return starts;
}
