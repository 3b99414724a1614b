/** Counts which experts tokens go to, by layer, by token id and by domain. @module */

import { expertsOf, type HostMask } from "./host_mask.ts";

/** Counts over some of the tokens; `[L, E]` arrays are layer by layer. */
export interface RoutingCounts {
  /** Number of tokens. */
  tokens: number;
  /** `[L, E]`: tokens routed to each expert. */
  readonly uses: Float64Array;
  /** `[L]`: tokens routed to no expert. */
  readonly withoutExpert: Float64Array;
}

/** Accumulates the routing of tokens, batch by batch. */
export class RoutingStatistics {
  /** Number of layers, L. */
  readonly layers: number;
  /** Experts per layer, E. */
  readonly experts: number;
  /** The counts of each domain, in order of appearance. */
  readonly domains: ReadonlyMap<string, RoutingCounts>;
  /** The counts of each token id that occurred. */
  readonly ids: ReadonlyMap<number, RoutingCounts>;
  /** The counts over all tokens. */
  readonly total: RoutingCounts;
  readonly #domains = new Map<string, RoutingCounts>();
  readonly #ids = new Map<number, RoutingCounts>();

  /**
   * Starts empty.
   *
   * @param layers Number of layers, L.
   * @param experts Experts per layer, E.
   * @param domains Names of domains, to fix their order; others follow as they appear.
   */
  constructor(layers: number, experts: number, domains: Iterable<string> = []) {
    this.layers = layers;
    this.experts = experts;
    this.domains = this.#domains;
    this.ids = this.#ids;
    this.total = this.#empty();
    for (const name of domains) this.#of(this.#domains, name);
  }

  /**
   * Adds tokens of a batch.
   *
   * @param domain Their domain.
   * @param tokens Their ids `[T]`.
   * @param masks The batch's routing, layer by layer.
   * @param first Place of the first token in the batch.
   */
  add(
    domain: string,
    tokens: ArrayLike<number>,
    masks: readonly HostMask[],
    first: number = 0,
  ): void {
    const ofDomain = this.#of(this.#domains, domain);
    for (let token = 0; token < tokens.length; token++) {
      const counts = [this.total, ofDomain, this.#of(this.#ids, tokens[token]!)];
      for (const each of counts) each.tokens++;
      for (const [layer, mask] of masks.entries()) this.#count(counts, layer, mask, first + token);
    }
  }

  #count(counts: readonly RoutingCounts[], layer: number, mask: HostMask, token: number): void {
    const active = expertsOf(mask, token);
    for (const { uses, withoutExpert } of counts) {
      if (active.length === 0) withoutExpert[layer]!++;
      for (const expert of active) uses[layer * this.experts + expert]!++;
    }
  }

  #of<Key>(counts: Map<Key, RoutingCounts>, key: Key): RoutingCounts {
    const found = counts.get(key) ?? this.#empty();
    counts.set(key, found);
    return found;
  }

  #empty(): RoutingCounts {
    return {
      tokens: 0,
      uses: new Float64Array(this.layers * this.experts),
      withoutExpert: new Float64Array(this.layers),
    };
  }
}

/**
 * Divides counts by the number of tokens.
 *
 * @param counts Counts.
 * @param experts Experts per layer, E.
 * @returns Per layer, the share of the tokens that each expert takes.
 */
export function sharesOf({ tokens, uses }: RoutingCounts, experts: number): number[][] {
  return Array.from(
    { length: uses.length / experts },
    (_, layer) =>
      Array.from(uses.subarray(layer * experts, (layer + 1) * experts), (used) => used / tokens),
  );
}

/**
 * Averages the number of active experts.
 *
 * @param counts Counts.
 * @param experts Experts per layer, E.
 * @returns Per layer, the mean number of experts of a token.
 */
export function activeOf({ tokens, uses }: RoutingCounts, experts: number): number[] {
  // Summed before the division, so k experts per token give exactly k.
  return Array.from(
    { length: uses.length / experts },
    (_, layer) =>
      uses.subarray(layer * experts, (layer + 1) * experts)
        .reduce((sum, used) => sum + used, 0) / tokens,
  );
}
