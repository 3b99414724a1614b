/** What a Hugging Face model computes, in terms common to all families. @module */

import type { GateName } from "../moe/relu_names.ts";

/** Norms of queries and keys: none, over all heads together, or over each. */
export type QkNorm = "none" | "full" | "head";

/** The experts of a source model. */
export interface SourceExperts {
  /** Experts per layer. */
  readonly count: number;
  /** Experts per token. */
  readonly active: number;
  /** Width of an expert. */
  readonly width: number;
  /** Whether a token's gates are divided by their sum. */
  readonly renormalize: boolean;
  /** What a ReLU router of this project makes of positive logits; null: the router is TopK. */
  readonly activation: GateName | null;
  /** Width of the expert that every token uses; 0: none. */
  readonly sharedWidth: number;
  /** Whether its output is multiplied by a sigmoid gate. */
  readonly sharedGate: boolean;
  /** Layers with a dense network in place of experts. */
  readonly denseLayers: readonly number[];
}

/** A source model. */
export interface SourceBlock {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly groups: number;
  readonly headDim: number;
  /** Width of the dense network. */
  readonly ffn: number;
  readonly vocabulary: number;
  readonly ropeBase: number;
  readonly normEpsilon: number;
  readonly initDeviation: number;
  /** Longest sequence. */
  readonly sequence: number;
  readonly qkvBias: boolean;
  readonly qkNorm: QkNorm;
  readonly clipQkv: number | null;
  readonly tied: boolean;
  /** The experts; null in a dense model. */
  readonly experts: SourceExperts | null;
}
