/** Constants of AdamW. */
export interface AdamWOptions {
  /** Decay of the first moment. */
  readonly beta1: number;
  /** Decay of the second moment. */
  readonly beta2: number;
  /** Added to the root of the second moment. */
  readonly epsilon: number;
  /** Decoupled weight decay. */
  readonly weightDecay: number;
}

/** One parameter and its moments, changed in place. */
export interface AdamWState {
  /** Weights. */
  readonly master: Float64Array;
  /** Mean of the gradients. */
  readonly moment1: Float64Array;
  /** Mean of their squares. */
  readonly moment2: Float64Array;
}

/**
 * One step of AdamW (Loshchilov and Hutter, ICLR 2019, algorithm 2).
 *
 * @param state Weights and moments, changed in place.
 * @param gradient The gradient before clipping.
 * @param step The step, from 1.
 * @param learningRate The learning rate.
 * @param clipScale The factor applied to the gradient.
 * @param options Constants; the weight decay is 0 if it does not apply.
 */
export function adamwStep(
  { master, moment1, moment2 }: AdamWState,
  gradient: Float64Array,
  step: number,
  learningRate: number,
  clipScale: number,
  { beta1, beta2, epsilon, weightDecay }: AdamWOptions,
): void {
  for (let i = 0; i < master.length; i++) {
    const g = gradient[i]! * clipScale;
    moment1[i] = beta1 * moment1[i]! + (1 - beta1) * g;
    moment2[i] = beta2 * moment2[i]! + (1 - beta2) * g * g;
    const mean = moment1[i]! / (1 - beta1 ** step);
    const square = moment2[i]! / (1 - beta2 ** step);
    master[i] = master[i]! -
      learningRate * (mean / (Math.sqrt(square) + epsilon) + weightDecay * master[i]!);
  }
}
