/** Looks up the row of a configuration's router, and derives figures from it. @module */

import { requireOneOf } from "../arguments.ts";
import { type RouterFile, specOf } from "./router_file.ts";
import type { MixtureSizes } from "./router_row.ts";
import {
  type AnyRouter,
  ROUTER_NAMES,
  type RouterName,
  type RouterPath,
  ROUTERS,
  type RouterSettings,
} from "./routers.ts";
import { routedSizes } from "./layer_sizes.ts";

/** The part of a configuration that selects the router. */
export interface RouterChoice {
  /** A router of the library, or the path of a router file. */
  readonly router: RouterName | RouterPath;
  /** The description of that file, if `router` is one. */
  readonly router_file?: RouterFile | undefined;
}

/**
 * Looks up the row of a configuration's router.
 *
 * @param choice Which router.
 * @param operation What the row is for, worded to follow "Cannot".
 * @returns The row.
 * @throws {TypeError} If there is no such router.
 */
export function routerOf(
  { router, router_file }: RouterChoice,
  operation = "look up the router",
): AnyRouter {
  if (router_file !== undefined && !ROUTER_NAMES.includes(router as RouterName)) {
    return specOf(router_file) as unknown as AnyRouter;
  }
  requireOneOf(operation, "moe.router", router as RouterName, ROUTER_NAMES);
  return ROUTERS[router as RouterName];
}

/**
 * Returns the name of a router in reports and directory names.
 *
 * @param router A router of the library, or the path of a file.
 * @returns The router's name, or the file's without directory and extension.
 */
export function routerLabel(router: RouterName | RouterPath): string {
  return router.replace(/^.*[/\\]/, "").replace(/\.m?[jt]s$/, "");
}

/**
 * Tells whether tokens use some of a layer's experts and not others, so that it has a sparsity.
 *
 * @param spec The router.
 * @returns False for a dense model, and where experts are merged.
 */
export function choosesExperts(spec: Pick<AnyRouter, "routed" | "merges">): boolean {
  return spec.routed && !spec.merges;
}

/**
 * Bounds the number of active experts per token, averaged over a batch.
 *
 * @param spec The router.
 * @param moe Sizes and settings.
 * @param step The step, counted from 0.
 * @returns The upper bound, in experts of width `ffn / G`, of which there are E·G.
 */
export function mostActive(
  spec: AnyRouter,
  moe: MixtureSizes & RouterSettings,
  step: number,
): number {
  return spec.activeFrom(moe).findLast(({ from }) => from <= step)!.most;
}

/**
 * Returns the step from which a router meets its target sparsity by construction.
 *
 * @param spec The router.
 * @param moe Sizes and settings.
 * @returns The step, counted from 0; null if it depends on the routing, or there is no routing.
 */
export function sparseFrom(spec: AnyRouter, moe: MixtureSizes & RouterSettings): number | null {
  const last = spec.activeFrom(moe).at(-1)!;
  const atTarget = last.most <= routedSizes(moe).active;
  return choosesExperts(spec) && spec.exact && atTarget ? last.from : null;
}
