/** Token ids that callers pass as arrays, checked and copied. @module */

import { ownList, requireWhole, shown } from "../arguments.ts";
import { largest, smallest } from "../extremes.ts";

/** Sequences of token ids, padded to one length. */
export interface PaddedSequences {
  /** The ids, `longest` per sequence, one sequence after the other. */
  readonly ids: readonly number[];
  /** Tokens of each sequence, without padding. */
  readonly lengths: readonly number[];
  /** Tokens of the longest sequence. */
  readonly longest: number;
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

/**
 * Checks the sequences of a prefill and pads them at their ends, where causal attention lets the
 * padding affect no other token.
 */
export function padSequences(
  sequences: readonly (readonly number[])[],
  vocabulary: number,
  { batch, capacity }: { readonly batch: number; readonly capacity: number },
): PaddedSequences {
  if (!Array.isArray(sequences)) {
    throw new TypeError(
      `Cannot read sequences: ${shown(sequences)} is not an array of arrays of token ids`,
    );
  }
  const lists = ownList<readonly number[]>(sequences).map((ids) =>
    tokenIds("read sequences", ids, vocabulary)
  );
  const lengths = lists.map((ids) => ids.length);
  const longest = largest(lengths);
  const shortest = smallest(lengths);
  if (lists.length !== batch || longest > capacity || shortest < 1) {
    throw new RangeError(
      `Cannot read ${lists.length} sequences of ${shortest} to ${longest} tokens into a ` +
        `cache for ${batch} of at most ${capacity}: each needs a token and room`,
    );
  }
  const ids = lists.flatMap((list) => [
    ...list,
    ...new Array<number>(longest - list.length).fill(0),
  ]);
  return { ids, lengths, longest };
}
