/** Segments of a sequence, for routers that decide once per segment rather than per token. @module */

/** Longest segment, in tokens: that of the Lory paper. */
const LONGEST = 256;

/** Least segments of a long enough sequence: with one or two, little would be routed causally. */
const LEAST = 4;

/**
 * Returns the length of a segment.
 *
 * @param sequence Tokens per sequence, S.
 * @returns min(256, ⌈S/4⌉); the last segment of a sequence may be shorter.
 */
export function segmentLength(sequence: number): number {
  return Math.min(LONGEST, Math.ceil(sequence / LEAST));
}

/**
 * Counts the segments of a sequence.
 *
 * @param sequence Tokens per sequence, S.
 * @returns The number of segments, the last of which may be shorter.
 */
export function segmentCount(sequence: number): number {
  return Math.ceil(sequence / segmentLength(sequence));
}
