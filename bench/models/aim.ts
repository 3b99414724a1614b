/**
 * Router weights that open a wanted share of the gates.
 *
 * A freshly made ReLU router opens half of its gates, a trained one k/E. Training until it does takes
 * a hundred steps; here the weights of expert e are moved along the mean direction m of the tokens:
 * W_e ← W_e − b_e m/|m|². That lowers every logit of the expert by b_e·(x·m)/|m|², and b_e is chosen
 * so that as many logits as wanted stay above 0.
 *
 * @module
 */

/** Logits of a layer's tokens, on the host. */
export interface Logits {
  /** x W, [T, E]. */
  readonly values: Float64Array;
  /** (x·m)/|m|² of each token, all positive: by how much a shift of 1 lowers its logits. */
  readonly along: Float64Array;
  /** E. */
  readonly experts: number;
}

/** Weights of a router and the tokens to aim them at. */
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
 * Moves weights so that each expert has a number of tokens.
 *
 * @param input Tokens and weights.
 * @param shiftsFor Chooses each expert's shift.
 * @returns The new weights.
 * @throws {RangeError} If a token points away from the mean: no shift would close its gates.
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
 * @param logits The logits before.
 * @param rows Tokens that each expert is to have.
 * @returns A shift for each expert, halfway between the last token it keeps and the next.
 */
export function reluShifts({ values, along, experts }: Logits, rows: number): Float64Array {
  return Float64Array.from(
    { length: experts },
    (_, e) => threshold(along.map((share, t) => values[t * experts + e]! / share), rows),
  );
}

/** Rounds over all experts after which a TopK router's loads differ by a few per cent at most. */
const BALANCING_ROUNDS = 8;

/**
 * Chooses shifts for a TopK router, whose number of rows is fixed but not how they are spread: in
 * turn, each expert takes as many tokens as is fair while the others stay as they are.
 *
 * @param logits The logits before.
 * @param active Experts of each token.
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

/** The k-th largest logit of a token's other experts. */
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

/** A number that `rows` of the scores exceed, as far from both neighbours as it can be. */
function threshold(scores: Float64Array, rows: number): number {
  const sorted = scores.toSorted().reverse();
  if (rows <= 0) return sorted[0]! + 1;
  if (rows >= sorted.length) return sorted.at(-1)! - 1;
  return (sorted[rows - 1]! + sorted[rows]!) / 2;
}
