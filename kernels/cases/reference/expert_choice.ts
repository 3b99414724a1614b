import { softmax } from "./reduction.ts";

/** How tokens are grouped. */
export interface GroupSizes {
  /** Tokens of a group; the last group may be shorter. */
  readonly group: number;
  /** Tokens that each expert takes from a group. */
  readonly capacity: number;
}

/** What {@linkcode expertChoiceGates} gives. */
export interface ExpertChoiceRouting {
  /** [T, E], 0 where a pair is not routed. */
  readonly gates: Float64Array;
  /** [T, E], the softmax over all experts. */
  readonly probabilities: Float64Array;
  /** [T, E], 1 where a pair is routed, else 0. */
  readonly chosen: Float64Array;
}

/**
 * Expert Choice: from each group of tokens, each expert takes those with the largest probabilities,
 * the earlier token first among equals.
 *
 * @param logits x W, [T, E].
 * @param experts E.
 * @param sizes The groups, and what is taken from each; of a shorter one the same share, rounded up.
 * @returns Gates, probabilities, and 1 where a pair is routed.
 */
export function expertChoiceGates(
  logits: Float64Array,
  experts: number,
  { group, capacity }: GroupSizes,
): ExpertChoiceRouting {
  const probabilities = softmax(logits, experts);
  // The contract ranks what fp32 holds: where probabilities underflow, they are equal.
  const held = Float32Array.from(probabilities);
  const chosen = new Float64Array(logits.length);
  const tokens = logits.length / experts;
  for (let start = 0; start < tokens; start += group) {
    const members = Array.from({ length: Math.min(group, tokens - start) }, (_, i) => start + i);
    const taken = Math.ceil(members.length * capacity / group);
    for (let e = 0; e < experts; e++) {
      // NaN comes first.
      const of = (t: number): number => {
        const p = held[t * experts + e]!;
        return Number.isNaN(p) ? 2 : p;
      };
      const ranked = members.toSorted((s, t) => of(t) - of(s) || s - t);
      for (const t of ranked.slice(0, taken)) chosen[t * experts + e] = 1;
    }
  }
  return { gates: probabilities.map((p, i) => chosen[i] === 1 ? p : 0), probabilities, chosen };
}
