/** The error constructors. @module */

import * as remoe from "@remoe/remoe";
import { demand, type Entry } from "../entry.ts";

const MESSAGE = "Cannot add [2] and [3]: sizes 2 and 3 differ";
const ATTEMPTS = [{
  source: "path",
  backend: "any",
  location: "/none.so",
  outcome: "not there",
  denied: false,
}];

interface Kind {
  // deno-lint-ignore no-explicit-any
  readonly kind: new (...args: any[]) => Error;
  /** Its base class besides Error. */
  readonly like?: typeof Error;
  readonly rest?: () => readonly unknown[];
  /** The fields it carries, from the arguments after the message. */
  readonly carries?: (...rest: readonly unknown[]) => Record<string, unknown>;
}

function demandOptions(options: unknown): asserts options is Record<string, unknown> {
  demand(typeof options === "object" && options !== null, "options");
}

const KINDS: readonly Kind[] = [
  { kind: remoe.ShapeMismatchError, like: RangeError },
  { kind: remoe.ConfigError, like: TypeError },
  { kind: remoe.CheckpointError },
  {
    kind: remoe.LibraryError,
    rest: () => [{ cause: "no file", attempts: structuredClone(ATTEMPTS) }],
    carries: (options) => {
      const attempts: unknown = Object(options).attempts ?? [];
      demand(Array.isArray(attempts), "attempts");
      for (const attempt of attempts) demandOptions(attempt);
      return { attempts: attempts.map((attempt) => ({ ...attempt })) };
    },
  },
  {
    kind: remoe.DeviceError,
    rest: () => [{ cause: "no memory", status: 3, operation: "add" }],
    carries: (options) => {
      demandOptions(options);
      const { status, operation } = options;
      demand(Number.isInteger(status) && typeof operation === "string", "status, operation");
      return { status, operation };
    },
  },
  {
    kind: remoe.FileError,
    rest: () => ["/none.json", { cause: "no file" }],
    carries: (path) => {
      demand(typeof path === "string", "path");
      return { path };
    },
  },
];

function entryOf({ kind, like = Error, rest, carries = () => ({}) }: Kind): Entry {
  const own = Object.keys(carries(...rest?.() ?? []));
  return {
    of: `new ${kind.name}`,
    make: () => [MESSAGE, ...rest?.() ?? [{ cause: "a reason" }]],
    call: (...args) => {
      const error = new kind(...args);
      const fields = own.map((key) => [key, (error as unknown as Record<string, unknown>)[key]]);
      const { name, message, cause } = error;
      return { name, message, cause, like: error instanceof like, ...Object.fromEntries(fields) };
    },
    right: (...args) => {
      const [message, ...given] = args;
      const carried = carries(...given);
      // As JavaScript's built-in errors handle message and options.
      const options: unknown = given.at(own[0] === "path" ? 1 : 0);
      const { cause } = new Error(message, options as ErrorOptions);
      const text = message === undefined ? "" : String(message);
      return { name: kind.name, message: text, cause, like: true, ...carried };
    },
  };
}

/** Errors of the core entry point. */
export const errors: readonly Entry[] = KINDS.map(entryOf);
