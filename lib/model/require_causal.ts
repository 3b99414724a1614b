/** Refuses models that cannot continue a text. @module */

import { ConfigError } from "../errors.ts";
import { type RouterChoice, routerLabel, routerOf } from "../moe/router_of.ts";

/**
 * Throws unless a router decides on a token before the tokens after it exist.
 *
 * @param operation What the model is for, worded to follow "Cannot".
 * @param moe Which router.
 * @throws {ConfigError} If it looks ahead.
 */
export function requireCausal(operation: string, moe: RouterChoice): void {
  if (routerOf(moe).causal) return;
  throw new ConfigError(
    `Cannot ${operation} with the router ${routerLabel(moe.router)}: it routes a token by the ` +
      `tokens after it, which do not exist yet`,
  );
}
