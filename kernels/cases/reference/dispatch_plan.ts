import {
  planExpertOffset,
  planRowToken,
  planTokenOffset,
  planTokenRow,
  planWords,
} from "../../../lib/ffi/mod.ts";

/** A dispatch plan as fields instead of one buffer. */
export interface DispatchPlan {
  /** (Token, active expert) pairs, N. */
  readonly rows: number;
  /** Tokens with no active expert. */
  readonly withoutExpert: number;
  /** First row of each expert, [E + 1]. */
  readonly expertOffset: readonly number[];
  /** First slot of each token, [T + 1]. */
  readonly tokenOffset: readonly number[];
  /** Token of each row, [N]. */
  readonly rowToken: readonly number[];
  /** Rows of each token, experts ascending, [N]. */
  readonly tokenRow: readonly number[];
}

/**
 * Plans the dispatch: rows expert by expert, with tokens ascending within each.
 *
 * @param gates [T, E], nonzero where a token is routed.
 * @param tokens T.
 * @param experts E.
 * @returns The plan.
 */
export function dispatchPlan(
  gates: ArrayLike<number>,
  tokens: number,
  experts: number,
): DispatchPlan {
  const expertOffset = [0];
  const rowToken: number[] = [];
  const rowsOfToken = Array.from({ length: tokens }, (): number[] => []);
  for (let e = 0; e < experts; e++) {
    for (let t = 0; t < tokens; t++) {
      if (gates[t * experts + e] === 0) continue;
      rowsOfToken[t]!.push(rowToken.length);
      rowToken.push(t);
    }
    expertOffset.push(rowToken.length);
  }
  const tokenOffset = [0];
  for (const rows of rowsOfToken) tokenOffset.push(tokenOffset.at(-1)! + rows.length);
  return {
    rows: rowToken.length,
    withoutExpert: rowsOfToken.filter((rows) => rows.length === 0).length,
    expertOffset,
    tokenOffset,
    rowToken,
    tokenRow: rowsOfToken.flat(),
  };
}

/**
 * Writes a plan in the contract's buffer layout.
 *
 * @param plan The plan.
 * @param capacity The buffer's capacity in rows, C.
 * @returns The buffer; -1 where the contract leaves it undefined.
 */
export function planBuffer(plan: DispatchPlan, capacity: number): Int32Array<ArrayBuffer> {
  const { rows, withoutExpert, expertOffset, tokenOffset, rowToken, tokenRow } = plan;
  const [tokens, experts] = [tokenOffset.length - 1, expertOffset.length - 1];
  const buffer = new Int32Array(planWords(tokens, experts, capacity)).fill(-1);
  const overflow = rows > capacity;
  buffer.set([rows, overflow ? 1 : 0, withoutExpert, capacity]);
  if (overflow) return buffer;
  buffer.set(expertOffset, planExpertOffset());
  buffer.set(tokenOffset, planTokenOffset(experts));
  buffer.set(rowToken, planRowToken(tokens, experts));
  buffer.set(tokenRow, planTokenRow(tokens, experts, capacity));
  return buffer;
}
