/** What every router is: tokens in, gates out. @module */

import type { Parameter } from "../autograd/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How strongly each token goes to each expert, and what follows from it. */
export interface Routing<T extends number = number, E extends number = number> {
  /** Gates `[T, E]`; zero where a token is not routed. Gradients flow back through them. */
  readonly gates: Tensor<"f32", readonly [T, E]>;
  /** Tokens routed to each expert. */
  readonly counts: Tensor<"i32", readonly [E]>;
  /**
   * Share of pairs of token and expert that are not routed, equation 8 for this layer alone.
   *
   * @returns A number from 0 to 1.
   */
  sparsity(): Promise<number>;
  /**
   * The value of the router's regularisation on these tokens, without its coefficient:
   * equation 9 or 10 for ReLU routing, the Switch balance loss for TopK, 0 where there is none.
   *
   * @returns A number of at least 0.
   */
  regularization(): Promise<number>;
}

/** Decides which experts a token goes to, and how strongly. */
export interface Router<H extends number = number, E extends number = number> extends Disposable {
  /** Size of a token's hidden state. */
  readonly hidden: H;
  /** Number of experts. */
  readonly experts: E;
  /** Active experts wanted for each token. */
  readonly active: number;
  /**
   * Routes tokens.
   *
   * @param x Hidden states `[T, H]`.
   * @returns Gates and counts.
   */
  route<T extends number>(x: Tensor<"f32", readonly [T, H]>): Routing<T, E>;
  /** What training changes. */
  parameters(): Iterable<Parameter>;
}
