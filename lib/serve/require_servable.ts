/** Refuses models that cannot be served. @module */

import { ConfigError } from "../errors.ts";
import { requireCausal } from "../model/require_causal.ts";
import { type RouterChoice, routerLabel, routerOf } from "../moe/router_of.ts";

/**
 * Throws unless texts can join and leave a batch while others grow in it.
 *
 * @param moe Which router.
 * @throws {ConfigError} If the router looks ahead, or routes a prompt as a whole.
 */
export function requireServable(moe: RouterChoice): void {
  requireCausal("serve", moe);
  if (!routerOf(moe).merges) return;
  throw new ConfigError(
    `Cannot serve with the router ${routerLabel(moe.router)}: it routes a prompt as a whole, and ` +
      `a server reads prompts in parts; use deno task generate`,
  );
}
