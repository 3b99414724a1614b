/** Routers of users' files, whose mistakes are reported as theirs. @module */

import { shown } from "../arguments.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { RouterGuard } from "../config/router_guard.ts";
import { ConfigError } from "../errors.ts";
import { Routed } from "../moe/routed.ts";
import type { Router } from "../moe/router.ts";
import type { Routing } from "../moe/routing.ts";
import type { RoutingContext } from "../moe/routing_context.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What `build()` has to return, besides its numbers. */
const METHODS = ["route", "parameters"] as const;
/** What it may return as well. */
const OPTIONAL = ["buffers", "afterStep"] as const;

/**
 * Builds a file's router such that whatever fails in it, or comes out of it wrong, is a
 * `ConfigError` that names the file and the method.
 *
 * @param file The router's file.
 * @param build Builds the router.
 * @returns A router that passes on every call.
 * @throws {ConfigError} If building it fails, or what was built is no router.
 */
export function guardedRouter(file: string, build: () => Router): Router {
  const guard = new RouterGuard(file);
  const router = guard.call("build", build);
  requireRouter(guard, router);
  const { hidden, experts, active } = router;
  return {
    ...{ hidden, experts, active },
    route<T extends number>(
      x: Tensor<"f32", readonly [T, number]>,
      context: RoutingContext,
    ): Routing<T> {
      const routing = guard.call("route", () => router.route(x, context));
      const isRouting = typeof routing === "object" && routing !== null && Routed.isOne(routing);
      return isRouting
        ? routing
        : guard.fail("route", routing, "what routingOf() or the route() of another router returns");
    },
    parameters: () => listOf(guard, "parameters", () => router.parameters()),
    ...(router.buffers === undefined ? {} : {
      buffers: () => listOf(guard, "buffers", () => router.buffers!()),
    }),
    ...(router.afterStep === undefined ? {} : {
      afterStep(counts: readonly number[]): void {
        const result: unknown = guard.call("afterStep", () => router.afterStep!(counts));
        // What it did later would fall into the next step, or be lost.
        if (result instanceof Promise) guard.fail("afterStep", result, "nothing; see readSync()");
      },
    }),
    [Symbol.dispose]: () => guard.call("[Symbol.dispose]", () => router[Symbol.dispose]()),
  };
}

/** Calls a method that lists tensors. */
function listOf(guard: RouterGuard, method: string, run: () => Iterable<Parameter>): Parameter[] {
  const tensors = guard.call(method, () => {
    const list: unknown = run();
    return isIterable(list) ? Array.from(list) : list;
  });
  const areTensors = Array.isArray(tensors) &&
    tensors.every((each) => Number.isInteger((each as Partial<Parameter> | undefined)?.size));
  return areTensors
    ? tensors as Parameter[]
    : guard.fail(method, tensors, "a list of device.parameter()s");
}

/** Throws unless a value has the parts of a router. */
function requireRouter(guard: RouterGuard, router: unknown): void {
  if (typeof router !== "object" || router === null || router instanceof Promise) {
    guard.fail("build", router, "a router");
  }
  const given = router as Readonly<Record<PropertyKey, unknown>>;
  const functions = [...METHODS, ...OPTIONAL.filter((name) => given[name] !== undefined)];
  const parts = [
    ...["hidden", "experts", "active"].map((name) => [name, "number"] as const),
    ...functions.map((name) => [name, "function"] as const),
    [Symbol.dispose, "function"] as const,
  ];
  const wrong = parts.find(([name, type]) => kindOf(given[name]) !== type);
  if (wrong === undefined) return;
  const [name, type] = wrong;
  throw new ConfigError(
    `Cannot use the router ${guard.file}: ${nameOf(name)} of what its build() returned is ` +
      `${shown(given[name])}, expected a ${type}`,
  );
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof (value as Partial<Iterable<unknown>> | null)?.[Symbol.iterator] === "function";
}

function kindOf(value: unknown): string {
  return typeof value;
}

function nameOf(name: PropertyKey): string {
  return typeof name === "symbol" ? "[Symbol.dispose]" : String(name);
}
