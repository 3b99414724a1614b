/** One of a token's choices, as SparseMixer-v2 defines it. */
export interface SparseMixerChoice {
  /** The experts that the mask keeps. */
  readonly kept: readonly number[];
  /** The softmax over them, 0 elsewhere, [E]. */
  readonly probabilities: Float64Array;
  /** The expert with the largest logit, the lower one among equals. */
  readonly best: number;
}

/**
 * The mask and the distribution of a choice.
 *
 * @param logits A token's logits, [E].
 * @param taken The experts of its earlier choices.
 * @param jitter r: experts further below the largest logit than 2 r, relatively, are left out.
 * @returns The choice.
 */
export function sparseMixerChoice(
  logits: ArrayLike<number>,
  taken: readonly number[],
  jitter: number,
): SparseMixerChoice {
  const left = Array.from(logits, (_, e) => e).filter((e) => !taken.includes(e));
  const best = left.reduce((best, e) => logits[e]! > logits[best]! ? e : best);
  const largest = logits[best]!;
  const kept = left.filter((e) => !(largest - logits[e]! > 2 * jitter * size(logits, e, largest)));
  const probabilities = new Float64Array(logits.length);
  for (const e of kept) probabilities[e] = Math.exp(logits[e]! - largest);
  const sum = probabilities.reduce((total, value) => total + value, 0);
  return { kept, probabilities: probabilities.map((value) => value / sum), best };
}

/** What the gap to the largest logit is compared with. */
function size(logits: ArrayLike<number>, e: number, largest: number): number {
  return Math.max(Math.abs(logits[e]!), largest);
}

/** A token's routing. */
export interface SparseMixerRow {
  /** The experts, by choice. */
  readonly order: readonly number[];
  /** p of each choice's expert, without Heun's factor. */
  readonly probabilities: readonly number[];
  /** Heun's factor of each choice: 1 or 1/3. */
  readonly factors: readonly number[];
  /**
   * The smallest nonzero gap that decided something: how much the logits and noise may be off
   * before another expert is kept or chosen.
   */
  readonly margin: number;
}

/**
 * Routes one token.
 *
 * @param logits Its logits, [E].
 * @param noise Uniform numbers [k, E + 1]; null in evaluation.
 * @param active k.
 * @param jitter r.
 * @returns Its experts and gates.
 */
export function sparseMixerRow(
  logits: ArrayLike<number>,
  noise: ArrayLike<number> | null,
  active: number,
  jitter: number,
): SparseMixerRow {
  const columns = logits.length + 1;
  const [order, probabilities, factors]: number[][] = [[], [], []];
  const gaps: number[] = [];
  for (let choice = 0; choice < active; choice++) {
    const { kept, probabilities: p, best } = sparseMixerChoice(logits, order!, jitter);
    const u = (e: number): number => noise![choice * columns + e]!;
    const score = (e: number): number =>
      noise === null ? logits[e]! : logits[e]! - Math.log(-Math.log(u(e)));
    const drawn = noise === null
      ? best
      : kept.reduce((first, e) => score(e) > score(first) ? e : first);
    for (let e = 0; e < logits.length; e++) {
      if (order!.includes(e) || e === best) continue;
      const gap = logits[best]! - logits[e]!;
      gaps.push(gap, gap - 2 * jitter * size(logits, e, logits[best]!));
    }
    for (const e of kept) if (e !== drawn) gaps.push(score(drawn) - score(e));
    order!.push(drawn);
    probabilities!.push(p[drawn]!);
    const isWhole = noise === null || drawn === best || u(logits.length) > 0.75;
    factors!.push(isWhole ? 1 : 1 / 3);
  }
  const margin = gaps.reduce((least, gap) => gap === 0 ? least : Math.min(least, Math.abs(gap)), 1);
  return { order: order!, probabilities: probabilities!, factors: factors!, margin };
}

/**
 * Sums, over the choices of all tokens, of a weight for each pair times p of the choice: the
 * function whose gradient is the estimator, the choices being constants to it.
 *
 * @param logits x W, [T, E].
 * @param weights One for each pair, [T, E].
 * @param order The experts, [T, k].
 * @param experts E.
 * @param jitter r.
 * @returns The sum.
 */
export function sparseMixerSurrogate(
  logits: Float64Array,
  weights: ArrayLike<number>,
  order: ArrayLike<number>,
  experts: number,
  jitter: number,
): number {
  const tokens = logits.length / experts;
  const active = order.length / tokens;
  let sum = 0;
  for (let t = 0; t < tokens; t++) {
    const own = Array.from({ length: active }, (_, choice) => order[t * active + choice]!);
    const row = logits.subarray(t * experts, (t + 1) * experts);
    for (const [choice, e] of own.entries()) {
      const { probabilities } = sparseMixerChoice(row, own.slice(0, choice), jitter);
      sum += weights[t * experts + e]! * probabilities[e]!;
    }
  }
  return sum;
}
