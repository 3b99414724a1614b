/** Watches for starving experts and closing layers, which the loss alone does not show. @module */

import type { TrainConfig } from "../config/config.ts";
import { routerOf } from "../moe/router_of.ts";
import type { StepMetrics } from "../run/metrics_line.ts";
import { closedLayers, idleExperts } from "../run/routing_health.ts";

/** Steps without tokens after which an expert counts as starving, or a layer as closed. */
const STEPS = 50;

/** How many experts a warning names. */
const NAMED = 8;

/** Counts the consecutive steps that each expert and each layer goes without tokens. */
export class RoutingWatch {
  readonly #config: TrainConfig;
  readonly #idle = new Streaks();
  readonly #closed = new Streaks();

  constructor(config: TrainConfig) {
    this.#config = config;
  }

  /** Takes a step; returns warnings of starving experts and of closed layers, each at most once. */
  observe(step: StepMetrics): string[] {
    const closed = closedLayers(step.sparsity_per_layer, step.expert_load[0]?.length ?? 1);
    const layers = this.#closed.observe(closed.map(String));
    // The experts of a closed layer have no tokens either; one warning says so.
    const idle = idleExperts(step.expert_load).filter(({ layer }) => !closed.includes(layer));
    const experts = this.#idle.observe(idle.map(({ layer, expert }) => `${layer}.${expert}`));
    return [
      ...(experts === null ? [] : [this.#starving(experts)]),
      ...(layers === null ? [] : [this.#closing(layers)]),
    ];
  }

  #starving(experts: readonly string[]): string {
    const { moe } = this.#config;
    const more = experts.length - NAMED;
    const named = experts.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
    const [have, learn] = experts.length === 1
      ? ["expert has", "learns"]
      : ["experts have", "learn"];
    return `${experts.length} ${have} received no token for ${STEPS} steps (layer.expert: ` +
      `${named}) and ${learn} nothing; ${routerOf(moe).starving(moe)}`;
  }

  #closing(layers: readonly string[]): string {
    return `${layers.length === 1 ? "Layer" : "Layers"} ${layers.join(", ")} ` +
      `${layers.length === 1 ? "has" : "have"} closed: for ${STEPS} steps at least nine in ten ` +
      `tokens have had no expert there; a lower learning rate, a larger model.init_std or a ` +
      `smaller moe.alpha helps`;
  }
}

/** Counts how many steps in a row each name is seen, until some name's count reaches the limit. */
class Streaks {
  #lengths = new Map<string, number>();
  #told = false;

  /** Takes a step's names; returns those that reach the limit, the first time any does. */
  observe(names: readonly string[]): string[] | null {
    if (this.#told) return null;
    this.#lengths = new Map(names.map((name) => [name, (this.#lengths.get(name) ?? 0) + 1]));
    const long = names.filter((name) => this.#lengths.get(name)! >= STEPS);
    this.#told = long.length > 0;
    return this.#told ? long : null;
  }
}
