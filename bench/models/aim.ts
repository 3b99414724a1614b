/**
 * Aims router weights so that they open a given share of the gates.
 *
 * A freshly initialized ReLU router opens half of its gates, a trained one k/E. Training to that
 * point takes a hundred steps; here, the weights of expert e are moved along the tokens' mean m:
 * W_e ← W_e − b_e m/|m|². That lowers each of the expert's logits by b_e·(x·m)/|m|², and b_e is
 * chosen so that the desired number of logits stays above 0.
 *
 * @module
 */

/** The logits of a layer's tokens, on the host. */
export interface Logits {
  /** x W, [T, E]. */
  readonly values: Float64Array;
  /** (x·m)/|m|² for each token, all positive: how much a shift of 1 lowers its logits. */
  readonly along: Float64Array;
  /** E. */
  readonly experts: number;
}

/** A router's weights and the tokens to aim them at. */
export interface AimInput {
  /** Hidden states [T, D]. */
  readonly x: Float32Array;
  /** Weights [D, E]. */
  readonly w: Float32Array;
  /** D. */
  readonly hidden: number;
  /** E. */
  readonly experts: number;
}

/**
 * Moves weights by a shift per expert, which decides how many tokens the expert gets.
 *
 * @param input Tokens and weights.
 * @param shiftsFor Chooses each expert's shift.
 * @returns The new weights.
 * @throws {RangeError} If a token points away from the mean, so that no shift would close its
 * gates.
 */
export function aimWeights(
  input: AimInput,
  shiftsFor: (logits: Logits) => Float64Array,
): Float32Array<ArrayBuffer> {
  const { x, w, hidden, experts } = input;
  const mean = meanOf(x, hidden);
  const norm = mean.reduce((sum, value) => sum + value * value, 0);
  const shifts = shiftsFor(logitsOf(input, mean, norm));
  const aimed = Float32Array.from(w);
  for (let d = 0; d < hidden; d++) {
    for (let e = 0; e < experts; e++) aimed[d * experts + e]! -= mean[d]! * shifts[e]! / norm;
  }
  return aimed;
}

function meanOf(x: Float32Array, hidden: number): Float64Array {
  const mean = new Float64Array(hidden);
  for (let i = 0; i < x.length; i++) mean[i % hidden]! += x[i]!;
  return mean.map((sum) => sum / (x.length / hidden));
}

function logitsOf({ x, w, hidden, experts }: AimInput, mean: Float64Array, norm: number): Logits {
  const tokens = x.length / hidden;
  const values = new Float64Array(tokens * experts);
  const along = new Float64Array(tokens);
  for (let t = 0; t < tokens; t++) {
    for (let d = 0; d < hidden; d++) {
      const state = x[t * hidden + d]!;
      along[t]! += state * mean[d]! / norm;
      for (let e = 0; e < experts; e++) values[t * experts + e]! += state * w[d * experts + e]!;
    }
    if (!(along[t]! > 0)) {
      throw new RangeError(`Cannot aim a router: token ${t} points away from the tokens' mean`);
    }
  }
  return { values, along, experts };
}

/**
 * Chooses shifts for a ReLU router.
 *
 * @param logits The logits before the shift.
 * @param rows Tokens that each expert should get.
 * @returns A shift for each expert, halfway between the last token it keeps and the next.
 */
export function reluShifts({ values, along, experts }: Logits, rows: number): Float64Array {
  return Float64Array.from(
    { length: experts },
    (_, e) => threshold(along.map((share, t) => values[t * experts + e]! / share), rows),
  );
}

/** Rounds over all experts after which a TopK router's loads differ by at most a few per cent. */
const BALANCING_ROUNDS = 8;

/**
 * Chooses shifts for a TopK router, whose total number of rows is fixed, but not their
 * distribution: each expert in turn takes its fair share of tokens while the others stay as they
 * are.
 *
 * @param logits The logits before the shift.
 * @param active Experts per token.
 * @returns A shift for each expert.
 */
export function topkShifts(logits: Logits, active: number): Float64Array {
  const { values, along, experts } = logits;
  const shifts = new Float64Array(experts);
  if (active === experts) return shifts;
  const rows = Math.round(along.length * active / experts);
  for (let round = 0; round < BALANCING_ROUNDS; round++) {
    for (let e = 0; e < experts; e++) {
      const others = Float64Array.from(
        along,
        (share, t) => (values[t * experts + e]! - toBeat(logits, shifts, t, e, active)) / share,
      );
      shifts[e] = threshold(others, rows);
    }
  }
  return shifts;
}

/** The k-th largest of a token's logits for other experts. */
function toBeat(
  { values, along, experts }: Logits,
  shifts: Float64Array,
  token: number,
  expert: number,
  active: number,
): number {
  const others: number[] = [];
  for (let e = 0; e < experts; e++) {
    if (e !== expert) others.push(values[token * experts + e]! - along[token]! * shifts[e]!);
  }
  return others.sort((a, b) => b - a)[active - 1]!;
}

/** A threshold that `rows` of the scores exceed, halfway between its neighbours. */
function threshold(scores: Float64Array, rows: number): number {
  const sorted = scores.toSorted().reverse();
  if (rows <= 0) return sorted[0]! + 1;
  if (rows >= sorted.length) return sorted.at(-1)! - 1;
  return (sorted[rows - 1]! + sorted[rows]!) / 2;
}
