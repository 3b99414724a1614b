/** The memory of a layer's router, for the estimate of a run's memory. @module */

/** Memory of one layer's router beside its gates, counted in fp32 tensors `[T, E]`. */
export interface RouterFootprint {
  /** Kept for the backward pass: probabilities, scores, or gates before they are scaled. */
  readonly kept: number;
  /** Taken only while tokens are routed: a router's draws, or a transport's matrix. */
  readonly scratch: number;
}
