/** Weights of the experts from a balanced transport of the tokens. @module */

import { BalanceCode } from "../ffi/codes.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";

/** How much sharper than the gates the assignment is: a mean gate's lead counts e^4. */
const SHARPNESS = 4;

/** Rounds of Sinkhorn's scaling; marginals of trained gates agree within a percent after them. */
const ROUNDS = 8;

/** What weights the experts' gates in the L1 term, and how the router reports it. */
export interface ExpertWeights {
  /** Weights f_e [E], if no count gives them. */
  readonly weights: DeviceTensor<"f32"> | null;
  /** Per expert, what to add up for the L1 term. */
  readonly sums: DeviceTensor<"f32">;
  /** The balance under which `sums` give the L1 term, one of `BalanceCode`. */
  readonly balance: number;
}

/**
 * Computes the weights where they come from a transport; the other terms take them from counts.
 *
 * @param balance The router's regularisation.
 * @param gates Gates `[T, E]`.
 * @param sums Their sums per expert `[E]`.
 * @returns The weights.
 */
export function expertWeights<E extends number>(
  balance: number,
  gates: DeviceTensor<"f32", readonly [number, E]>,
  sums: DeviceTensor<"f32", readonly [E]>,
): ExpertWeights & { readonly sums: DeviceTensor<"f32", readonly [E]> } {
  if (balance !== BalanceCode.transport) return { weights: null, sums, balance };
  const { memory, memory: { kernels: k }, shape: [tokens, experts] } = gates;
  const weights = memory.allocate("f32", [experts] as const);
  const weighted = memory.allocate("f32", [experts] as const);
  k.check(
    k.symbols.remoe_transport_weights(
      k.handle,
      weights.address,
      weighted.address,
      gates.address,
      sums.address,
      SHARPNESS,
      ROUNDS,
      tokens,
      experts,
    ),
    "transport weights of the ReLU router",
  );
  return { weights, sums: weighted, balance: BalanceCode.plain };
}
