/**
 * Finds experts and layers that have dropped out of routing, from a step's metrics alone.
 *
 * @module
 */

/** A layer counts as closed below this mean number of experts per token. */
const CLOSED_BELOW = 0.1;

/** An expert in a layer. */
export interface ExpertPlace {
  readonly layer: number;
  readonly expert: number;
}

/**
 * Lists the experts that got no token.
 *
 * @param load For each layer, the share of its routed rows that each expert got.
 * @returns The experts, layer by layer.
 */
export function idleExperts(load: readonly (readonly number[])[]): ExpertPlace[] {
  return load.flatMap((shares, layer) =>
    shares.flatMap((share, expert) => share === 0 ? [{ layer, expert }] : [])
  );
}

/**
 * Lists the closed layers: those with fewer than one expert per ten tokens, so that at least nine
 * in ten tokens have none.
 *
 * @param sparsity The sparsity of each layer.
 * @param experts Experts per layer.
 * @returns The layers.
 */
export function closedLayers(sparsity: readonly number[], experts: number): number[] {
  return sparsity.flatMap((share, layer) => (1 - share) * experts < CLOSED_BELOW ? [layer] : []);
}
