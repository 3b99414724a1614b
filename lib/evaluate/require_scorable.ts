/** Which routers' scores mean something. @module */

import { ConfigError } from "../errors.ts";
import { type RouterChoice, routerLabel, routerOf } from "../moe/router_of.ts";

/**
 * Refuses routers whose scores of an answer depend on the answer's own tokens: comparing them would
 * give accuracies that no use of the model can reach.
 *
 * @param moe The router.
 * @param maxLength Most tokens that the model reads at a time.
 * @throws {ConfigError} If a token's experts depend on later tokens.
 */
export function requireScorable(moe: RouterChoice, maxLength: number): void {
  const warning = causalityWarning(moe, maxLength);
  if (warning === null) return;
  throw new ConfigError(
    `Cannot score tasks with the router ${routerLabel(moe.router)}: ${warning}`,
  );
}

/**
 * Says why the losses of a router are too good, if they are.
 *
 * @param moe The router.
 * @param maxLength Most tokens that the model reads at a time.
 * @returns A sentence; null for a router that sees no later token.
 */
export function causalityWarning(moe: RouterChoice, maxLength: number): string | null {
  const spec = routerOf(moe);
  if (!spec.causal) return "it routes a token by the tokens after it, which include what is scored";
  const first = spec.causalFrom(maxLength);
  if (first === 0) return null;
  return `it routes the first ${first} tokens that it reads by their mean, which includes what is ` +
    `scored`;
}
