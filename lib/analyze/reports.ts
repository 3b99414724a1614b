/** Reports on the routing statistics of a model: the JSON beside each chart. @module */

import { targetSparsity } from "../autograd/lambda_rule.ts";
import type { MoEConfig } from "../config/config.ts";
import { mean } from "../mean.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { routerOf } from "../moe/router_of.ts";
import { rankCorrelation } from "./rank_correlation.ts";
import { activeOf, type RoutingStatistics, sharesOf } from "./routing_statistics.ts";

/** Returns the text of a token id. */
export type TokenText = (id: number) => string;

/** How evenly the experts are used: figure 8 of the paper. */
export interface LoadReport {
  /** Number of tokens. */
  readonly tokens: number;
  /**
   * The share of tokens that each expert would take at the target sparsity, if all took the same; 1
   * where experts are merged.
   */
  readonly fair_share: number;
  /** Per layer, the share of the tokens that each expert takes. */
  readonly share_of_tokens: readonly (readonly number[])[];
}

/** How sparse each layer is. */
export interface SparsityReport {
  /** The target of the router; 0 where experts are merged. */
  readonly target: number;
  /** Share of token-expert pairs that are not routed, over all layers. */
  readonly sparsity: number;
  /** The same of each layer. */
  readonly sparsity_per_layer: readonly number[];
  /** Per layer, the share of tokens that have no expert. */
  readonly without_expert_per_layer: readonly number[];
}

/** A token id, how often it occurs, and how many experts it has. */
export interface TokenFrequency {
  /** The token id. */
  readonly id: number;
  /** Its text. */
  readonly text: string;
  /** How often it occurs. */
  readonly occurrences: number;
  /** Experts per occurrence, mean of the layers. */
  readonly active: number;
  /** The same of each layer. */
  readonly active_per_layer: readonly number[];
}

/** Whether rare tokens get more experts: figure 7 of the paper. */
export interface FrequencyReport {
  /** Experts per token at the target sparsity. */
  readonly target: number;
  /**
   * Spearman's rank correlation of occurrences with active experts, over the ids with at least
   * `least` occurrences; negative where rare tokens have more. Null for fewer than three such ids.
   */
  readonly rank_correlation: number | null;
  /** Occurrences that an id needs to count. */
  readonly least: number;
  /** Every id that occurred, most frequent first. */
  readonly tokens: readonly TokenFrequency[];
}

/** How far the experts specialise in domains: figures 9 and 11 of the paper. */
export interface DomainLoadReport {
  /** As in {@linkcode LoadReport}. */
  readonly fair_share: number;
  /**
   * Per layer, the mean over domains of the total variation distance between the domain's
   * distribution of routed rows over experts and the mean of all domains': 0 where every domain
   * uses the experts alike, towards 1 where each has experts of its own.
   */
  readonly specialisation_per_layer: readonly number[];
  /**
   * Per layer, the mean over domains of the distance between the domain's shares and the mean of
   * all domains': half the sum of the absolute differences, over the target number of experts. The
   * shares are those that figure 9 shows, not normalised, so a domain that uses more experts than
   * others differs from them. For k experts per token it is the specialisation.
   */
  readonly share_distance_per_layer: readonly number[];
  /** Per domain, its tokens and, per layer, the share of them that each expert takes. */
  readonly domains: Readonly<
    Record<string, Pick<LoadReport, "tokens" | "share_of_tokens">>
  >;
}

/** How many experts the tokens of each domain have: figure 12 of the paper. */
export interface DomainActiveReport {
  /** Experts per token at the target sparsity. */
  readonly target: number;
  /** Per domain, the mean number of experts of a token in each layer. */
  readonly domains: Readonly<Record<string, readonly number[]>>;
}

/** A token id routed to an expert. */
export interface ExpertToken {
  /** The token id. */
  readonly id: number;
  /** Its text. */
  readonly text: string;
  /** Routing probability: `used / occurrences`. */
  readonly probability: number;
  /** How often the expert is used on the id. */
  readonly used: number;
  /** How often the id occurs. */
  readonly occurrences: number;
}

/** The tokens that each expert prefers: table 12 of the paper. */
export interface ExpertTokensReport {
  /** Occurrences that an id needs to be listed. */
  readonly least: number;
  /** Per layer and expert, the ids with the highest routing probability. */
  readonly layers: readonly (readonly (readonly ExpertToken[])[])[];
}

/** Reports how evenly the experts are used. */
export function loadReport(statistics: RoutingStatistics, moe: MoEConfig): LoadReport {
  const { total, experts } = statistics;
  return {
    tokens: total.tokens,
    fair_share: fairShare(moe),
    share_of_tokens: sharesOf(total, experts),
  };
}

/** Reports how sparse each layer is. */
export function sparsityReport(
  { total, experts }: RoutingStatistics,
  moe: MoEConfig,
): SparsityReport {
  const perLayer = activeOf(total, experts).map((active) => 1 - active / experts);
  return {
    target: targetSparsity({ experts, active: targetActive(moe) }),
    sparsity: mean(perLayer),
    sparsity_per_layer: perLayer,
    without_expert_per_layer: Array.from(total.withoutExpert, (count) => count / total.tokens),
  };
}

/** Reports how many experts tokens have, by their frequency. */
export function frequencyReport(
  { ids, experts }: RoutingStatistics,
  moe: MoEConfig,
  { text, least }: { readonly text: TokenText; readonly least: number },
): FrequencyReport {
  const tokens = [...ids].map(([id, counts]): TokenFrequency => {
    const perLayer = activeOf(counts, experts);
    return {
      id,
      text: text(id),
      occurrences: counts.tokens,
      active: mean(perLayer),
      active_per_layer: perLayer,
    };
  }).sort((a, b) => b.occurrences - a.occurrences || a.id - b.id);
  const counted = tokens.filter(({ occurrences }) => occurrences >= least);
  return {
    target: targetActive(moe),
    rank_correlation: rankCorrelation(
      counted.map(({ occurrences }) => occurrences),
      counted.map(({ active }) => active),
    ),
    least,
    tokens,
  };
}

/** Reports which experts each domain uses; null for fewer than two domains. */
export function domainLoadReport(
  { domains, experts, layers }: RoutingStatistics,
  moe: MoEConfig,
): DomainLoadReport | null {
  if (domains.size < 2) return null;
  const shares = [...domains].map(([name, counts]) => ({
    name,
    tokens: counts.tokens,
    share_of_tokens: sharesOf(counts, experts),
  }));
  const perLayer = (figure: (shares: readonly (readonly number[])[]) => number): number[] =>
    Array.from(
      { length: layers },
      (_, layer) => figure(shares.map((each) => each.share_of_tokens[layer]!)),
    );
  const active = targetActive(moe);
  return {
    fair_share: fairShare(moe),
    specialisation_per_layer: perLayer((rows) => meanDistance(rows.map(normalised))),
    share_distance_per_layer: perLayer((rows) => meanDistance(rows) / active),
    domains: Object.fromEntries(shares.map(({ name, ...rest }) => [name, rest])),
  };
}

/** Reports how many experts each domain's tokens have; null for fewer than two domains. */
export function domainActiveReport(
  { domains, experts }: RoutingStatistics,
  moe: MoEConfig,
): DomainActiveReport | null {
  if (domains.size < 2) return null;
  return {
    target: targetActive(moe),
    domains: Object.fromEntries(
      [...domains].map(([name, counts]) => [name, activeOf(counts, experts)]),
    ),
  };
}

/** Reports the token ids with the highest routing probability of each expert. */
export function expertTokensReport(
  { ids, experts, layers }: RoutingStatistics,
  { text, least, top }: { readonly text: TokenText; readonly least: number; readonly top: number },
): ExpertTokensReport {
  const frequent = [...ids].filter(([, { tokens }]) => tokens >= least);
  const tokensOf = (layer: number, expert: number): ExpertToken[] =>
    frequent.map(([id, { tokens, uses }]) => ({
      id,
      used: uses[layer * experts + expert]!,
      occurrences: tokens,
    }))
      .filter(({ used }) => used > 0)
      .sort((a, b) =>
        b.used / b.occurrences - a.used / a.occurrences || b.used - a.used || a.id - b.id
      )
      .slice(0, top)
      .map(({ id, used, occurrences }) => ({
        id,
        text: text(id),
        probability: used / occurrences,
        used,
        occurrences,
      }));
  return {
    least,
    layers: Array.from(
      { length: layers },
      (_, layer) => Array.from({ length: experts }, (_, expert) => tokensOf(layer, expert)),
    ),
  };
}

/** The share of the tokens that each routed expert takes at the target, if all take the same. */
function fairShare(moe: MoEConfig): number {
  return targetActive(moe) / routedSizes(moe).experts;
}

/** Experts per token at the target sparsity. Merging uses all of them, whatever the settings. */
function targetActive(moe: MoEConfig): number {
  const { active, experts } = routedSizes(moe);
  return routerOf(moe).merges ? experts : active;
}

/** Shares as a distribution. A closed layer routes nothing: all domains are equal there. */
function normalised(shares: readonly number[]): number[] {
  const sum = shares.reduce((total, share) => total + share, 0);
  return shares.map((share) => sum === 0 ? 1 / shares.length : share / sum);
}

/** The mean distance of rows from their mean: half the sum of the absolute differences. */
function meanDistance(rows: readonly (readonly number[])[]): number {
  const middle = rows[0]!.map((_, expert) => mean(rows.map((row) => row[expert]!)));
  return mean(
    rows.map((row) =>
      row.reduce((sum, share, expert) => sum + Math.abs(share - middle[expert]!), 0) / 2
    ),
  );
}
