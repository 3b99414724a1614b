/** Token ids that callers pass as arrays, checked and copied. @module */

import { ownList, requireWhole, shown } from "../arguments.ts";
import { largest, smallest } from "../extremes.ts";

/** Sequences of token ids, one after the other. */
export interface PackedSequences {
  /** The ids of all sequences. */
  readonly ids: readonly number[];
  /** Tokens of each sequence. */
  readonly counts: readonly number[];
}

/** Copies a list of token ids; throws if one is not in the vocabulary. */
export function tokenIds(
  operation: string,
  given: readonly number[],
  vocabulary: number,
): readonly number[] {
  if (!Array.isArray(given)) {
    throw new TypeError(`Cannot ${operation}: ${shown(given)} is not an array of token ids`);
  }
  const ids = ownList<number>(given);
  for (const id of ids) requireWhole(operation, "a token id", id, { most: vocabulary - 1 });
  return ids;
}

/** Checks sequences for `batch` rows of a cache of `capacity` tokens, and packs them. */
export function packSequences(
  sequences: readonly (readonly number[])[],
  vocabulary: number,
  { batch, capacity }: { readonly batch: number; readonly capacity: number },
): PackedSequences {
  if (!Array.isArray(sequences)) {
    throw new TypeError(
      `Cannot read sequences: ${shown(sequences)} is not an array of arrays of token ids`,
    );
  }
  const lists = ownList<readonly number[]>(sequences).map((ids) =>
    tokenIds("read sequences", ids, vocabulary)
  );
  const counts = lists.map((ids) => ids.length);
  const longest = largest(counts);
  const shortest = smallest(counts);
  if (lists.length !== batch || longest > capacity || shortest < 1) {
    throw new RangeError(
      `Cannot read ${lists.length} sequences of ${shortest} to ${longest} tokens into ` +
        `${batch} rows of a cache for at most ${capacity}: each needs a token and room`,
    );
  }
  return { ids: lists.flat(), counts };
}

/** Checks targets of packed sequences, one for each token; negative ones are not scored. */
export function packTargets(
  targets: readonly (readonly number[])[],
  vocabulary: number,
  counts: readonly number[],
): readonly number[] {
  if (!Array.isArray(targets) || targets.length !== counts.length) {
    throw new TypeError(
      `Cannot score tokens: targets is ${shown(targets)}, expected an array of arrays, one for ` +
        `each of ${counts.length} sequences`,
    );
  }
  return ownList<readonly number[]>(targets).flatMap((given, i) => {
    if (!Array.isArray(given) || given.length !== counts[i]) {
      throw new RangeError(
        `Cannot score tokens: targets[${i}] is ${shown(given)}, expected ${counts[i]} ids, one ` +
          `for each token of its sequence`,
      );
    }
    const ids = ownList<number>(given);
    for (const id of ids) {
      if (!Number.isInteger(id) || id >= vocabulary) {
        throw new RangeError(
          `Cannot score tokens: a target is ${shown(id)}, expected a whole number below ` +
            `${vocabulary}; negative ones are not scored`,
        );
      }
    }
    return ids;
  });
}
