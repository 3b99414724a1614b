/** Routers of users' files, whose mistakes are reported as theirs. @module */

import { shown } from "../arguments.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { ConfigError, DeviceError } from "../errors.ts";
import { Routed } from "../moe/routed.ts";
import type { Router } from "../moe/router.ts";
import type { RouterRow } from "../moe/router_row.ts";
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
  const guard = new Guard(file);
  const router = guard.call("build", build);
  guard.requireRouter(router);
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
    parameters: () => guard.list("parameters", () => router.parameters()),
    ...(router.buffers === undefined ? {} : {
      buffers: () => guard.list("buffers", () => router.buffers!()),
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

/** What a row may compute from the settings. */
const FUNCTIONS = ["adapts", "activeFrom", "weights", "problems", "notices", "starving"] as const;

/**
 * Guards the functions of a file's row in the same way.
 *
 * @param file The router's file.
 * @param row Its row.
 * @returns A row that passes on every call.
 */
export function guardedRow(file: string, row: RouterRow): RouterRow {
  const guard = new Guard(file);
  const functions = FUNCTIONS.flatMap((name) => {
    const own = row[name] as ((...args: unknown[]) => unknown) | undefined;
    if (own === undefined) return [];
    return [[name, (...args: unknown[]) => guard.call(name, () => own.apply(row, args))]];
  });
  return { ...row, ...Object.fromEntries(functions) };
}

/** Calls a router's methods. */
class Guard {
  constructor(readonly file: string) {}

  call<Result>(method: string, run: () => Result): Result {
    try {
      return run();
    } catch (error) {
      // The device's failures, such as too little memory, are not the router's.
      if (error instanceof DeviceError) throw error;
      const [reason] = (error instanceof Error ? error.message : shown(error)).split("\n");
      throw new ConfigError(
        `Cannot use the router ${this.file}: its ${method}() failed${this.#line(error)}: ${reason}`,
        { cause: error },
      );
    }
  }

  list(method: string, run: () => Iterable<Parameter>): Parameter[] {
    const tensors = this.call(method, () => {
      const list: unknown = run();
      return isIterable(list) ? Array.from(list) : list;
    });
    const areTensors = Array.isArray(tensors) &&
      tensors.every((each) => Number.isInteger((each as Partial<Parameter> | undefined)?.size));
    return areTensors
      ? tensors as Parameter[]
      : this.fail(method, tensors, "a list of device.parameter()s");
  }

  /** Throws unless a value has the parts of a router. */
  requireRouter(router: unknown): void {
    const parts = [
      ...["hidden", "experts", "active"].map((name) => [name, "number"] as const),
      ...METHODS.map((name) => [name, "function"] as const),
      [Symbol.dispose, "function"] as const,
    ];
    if (typeof router !== "object" || router === null || router instanceof Promise) {
      this.fail("build", router, "a router");
    }
    const given = router as Readonly<Record<PropertyKey, unknown>>;
    const wrong = parts.find(([name, type]) => typeof given[name] !== type) ??
      OPTIONAL.map((name) => [name, "function"] as const)
        .find(([name]) => given[name] !== undefined && typeof given[name] !== "function");
    if (wrong === undefined) return;
    const [name, type] = wrong;
    throw new ConfigError(
      `Cannot use the router ${this.file}: ${nameOf(name)} of what its build() returned is ` +
        `${shown(given[name])}, expected a ${type}`,
    );
  }

  fail(method: string, result: unknown, expected: string): never {
    throw new ConfigError(
      `Cannot use the router ${this.file}: its ${method}() returned ` +
        `${result instanceof Promise ? "a Promise" : shown(result)}, expected ${expected}`,
    );
  }

  /** The line of the file in which an error arose, if its stack tells. */
  #line(error: unknown): string {
    const stack = error instanceof Error ? error.stack ?? "" : "";
    const place = stack.split("\n").find((line) => line.includes("?sha256="));
    const [, line] = /\?sha256=\w+:(\d+):\d+/.exec(place ?? "") ?? [];
    return line === undefined ? "" : ` in line ${line}`;
  }
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof (value as Partial<Iterable<unknown>> | null)?.[Symbol.iterator] === "function";
}

function nameOf(name: PropertyKey): string {
  return typeof name === "symbol" ? "[Symbol.dispose]" : String(name);
}
