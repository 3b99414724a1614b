/** Errors that a program may construct itself. @module */

import { DataError } from "@remoe/remoe/data";
import { LogitsError } from "@remoe/remoe/generate";
import { DivergenceError } from "@remoe/remoe/train";
import { demand, type Entry } from "../entry.ts";
import { demandObject } from "../reference_config.ts";

const PLAIN = { DataError, LogitsError };

const plain: readonly Entry[] = Object.entries(PLAIN).map(([name, kind]): Entry => ({
  of: `new ${name}`,
  make: () => ["Cannot read the text", { cause: "a reason" }],
  call: (message, options) => {
    const error = new kind(message, options);
    return [error.name, error.message, error.cause];
  },
  // Like `Error`: any value can be a message, and non-object options have no cause.
  right: (message, options) => [
    name,
    message === undefined ? "" : String(message),
    options?.cause,
  ],
}));

const divergence: Entry = {
  of: "new DivergenceError",
  make: () => ["Cannot go on", { step: 3, tensor: "the loss", cause: "a reason" }],
  call: (message, options) => {
    const error = new DivergenceError(message, options);
    return [error.name, error.message, error.step, error.tensor, error.cause];
  },
  right: (message, options) => {
    demandObject(options);
    const { step, tensor, cause } = options;
    demand(Number.isSafeInteger(step) && step as number >= 0, "step");
    demand(typeof tensor === "string", "tensor");
    return ["DivergenceError", message === undefined ? "" : String(message), step, tensor, cause];
  },
};

/** Error constructors. */
export const dataErrors: readonly Entry[] = [...plain, divergence];
