/**
 * Experts and layers that have stopped to take part, from a step's figures alone.
 *
 * @module
 */

/** Experts per token, mean of a layer, below which the layer is closed. */
const CLOSED_BELOW = 0.1;

/** An expert of a layer. */
export interface ExpertPlace {
  readonly layer: number;
  readonly expert: number;
}

/**
 * Lists the experts that got no token.
 *
 * @param load Of each layer, the share of its routed rows that each expert got.
 * @returns The experts, layer by layer.
 */
export function idleExperts(load: readonly (readonly number[])[]): ExpertPlace[] {
  return load.flatMap((shares, layer) =>
    shares.flatMap((share, expert) => share === 0 ? [{ layer, expert }] : [])
  );
}

/**
 * Lists the layers whose tokens have no expert: those with fewer than one for ten tokens, so that at
 * least nine of ten tokens have none.
 *
 * @param sparsity The sparsity of each layer.
 * @param experts Experts of a layer.
 * @returns The layers.
 */
export function closedLayers(sparsity: readonly number[], experts: number): number[] {
  return sparsity.flatMap((share, layer) => (1 - share) * experts < CLOSED_BELOW ? [layer] : []);
}
