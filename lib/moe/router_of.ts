/** The row of a configuration's router, and what follows from it. @module */

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

/** What a configuration says of which router it has. */
export interface RouterChoice {
  /** A router of the library, or the file of another. */
  readonly router: RouterName | RouterPath;
  /** What the file says; only where `router` is one. */
  readonly router_file?: RouterFile | undefined;
}

/**
 * Looks up the router of a configuration.
 *
 * @param choice Which router.
 * @param operation What the row is for, to follow "Cannot".
 * @returns Its row.
 * @throws {TypeError} There is no such router.
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
 * How a router is called in reports and folders.
 *
 * @param router A router of the library, or a file.
 * @returns Its name, or the file's without folder and extension.
 */
export function routerLabel(router: RouterName | RouterPath): string {
  return router.replace(/^.*[/\\]/, "").replace(/\.m?[jt]s$/, "");
}

/**
 * Counts the experts that a token may have.
 *
 * @param spec The router.
 * @param moe Sizes and settings.
 * @param step The step, counted from 0.
 * @returns Experts of width `ffn / G`, of the E·G, at most and on average over a batch.
 */
export function mostActive(
  spec: AnyRouter,
  moe: MixtureSizes & RouterSettings,
  step: number,
): number {
  return spec.activeFrom(moe).findLast(({ from }) => from <= step)!.most;
}

/**
 * The step from which a router is at its target by construction.
 *
 * @param spec The router.
 * @param moe Sizes and settings.
 * @returns The step, counted from 0; null where it is the routing that decides, or there is none.
 */
export function sparseFrom(spec: AnyRouter, moe: MixtureSizes & RouterSettings): number | null {
  const last = spec.activeFrom(moe).at(-1)!;
  const atTarget = last.most <= moe.active * moe.granularity;
  return spec.routed && spec.exact && atTarget ? last.from : null;
}
