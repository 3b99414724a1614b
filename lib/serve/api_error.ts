/** Errors as OpenAI's API words them. @module */

import { nearest } from "../nearest.ts";

/** What else an {@linkcode ApiError} says. */
export interface ApiErrorDetails extends ErrorOptions {
  /** The field of the request at fault. */
  readonly param?: string;
  /** A word that programs can act on. */
  readonly code?: string;
  /** Headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The kind of an error by its status, as clients of the API know it. */
const TYPES: Readonly<Record<number, string>> = {
  429: "rate_limit_error",
  500: "server_error",
  503: "server_error",
};

/** A request that is refused or failed, with the HTTP status that says so. */
export class ApiError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "ApiError";
  /** The HTTP status. */
  readonly status: number;
  readonly #details: ApiErrorDetails;

  /** Creates the error. */
  constructor(status: number, message: string, details: ApiErrorDetails = {}) {
    super(message, details);
    this.status = status;
    this.#details = details;
  }

  /** The body of the answer. */
  get body(): { readonly error: Readonly<Record<string, string | null>> } {
    const { param = null, code = null } = this.#details;
    const type = TYPES[this.status] ?? "invalid_request_error";
    return { error: { message: this.message, type, param, code } };
  }

  /** The answer. */
  response(): Response {
    const { headers = {} } = this.#details;
    return Response.json(this.body, { status: this.status, headers });
  }
}

/** Refuses a field that no request has, naming the one that was probably meant. */
export function unknownField(name: string, known: readonly string[]): ApiError {
  const shown = name.slice(0, LONGEST_NAME);
  const meant = name.length > LONGEST_NAME ? undefined : nearest(name, known);
  const hint = meant === undefined ? "" : `, did you mean ${meant}?`;
  return new ApiError(400, `Unknown field ${shown}${hint}`, {
    param: shown,
    code: "unknown_parameter",
  });
}

const LONGEST_NAME = 60;

/** Turns anything thrown into an answer. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ApiError(500, message, { code: "internal_error", cause: error });
}
