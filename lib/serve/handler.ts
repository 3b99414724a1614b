/** The server's addresses, and who answers at each. @module */

import type { Device } from "../autograd/device.ts";
import type { OpenedModel } from "../model/open_model.ts";
import { ApiError, asApiError } from "./api_error.ts";
import { answerCompletion } from "./completions.ts";
import type { RequestRules } from "./completion_request.ts";
import { Engine } from "./engine.ts";
import type { ServeLimits } from "./limits.ts";
import { answerRouting } from "./routing.ts";

/** What a server offers. */
export interface HandlerOptions {
  /** The model's device. */
  readonly device: Device;
  /** The model. */
  readonly opened: OpenedModel;
  /** The name under which requests ask for it. */
  readonly name: string;
  /** What it accepts. */
  readonly limits: ServeLimits;
  /** The page at `/`, as HTML. */
  readonly page: string;
}

/** An address: its method, and who answers. */
interface Place {
  readonly method: "GET" | "POST";
  readonly answer: (request: Request) => Response | Promise<Response>;
}

/** Answers requests, from whatever they came by. */
export class Handler implements Disposable {
  readonly #engine: Engine;
  readonly #options: HandlerOptions;
  readonly #places: Readonly<Record<string, Place>>;
  readonly #created = Math.floor(Date.now() / 1000);
  #isStopping = false;

  /** Opens the cache. */
  constructor(options: HandlerOptions) {
    const { device, opened, name, limits } = options;
    const { tokenizer, model: { vocabulary } } = opened;
    this.#options = options;
    const engine = this.#engine = new Engine(device, opened, limits);
    const rules: RequestRules = { tokenizer, vocabulary, model: name, limits };
    this.#places = {
      "/": { method: "GET", answer: () => this.#page() },
      "/health": { method: "GET", answer: () => this.#health() },
      "/v1/models": {
        method: "GET",
        answer: () => Response.json({ object: "list", data: [this.#model()] }),
      },
      [`/v1/models/${encodeURIComponent(name)}`]: {
        method: "GET",
        answer: () => Response.json(this.#model()),
      },
      "/v1/completions": {
        method: "POST",
        answer: (request) => answerCompletion(request, { engine, rules }),
      },
      "/v1/routing": {
        method: "POST",
        answer: (request) => answerRouting(request, { device, opened, rules }),
      },
    };
  }

  /**
   * Answers a request.
   *
   * @param request The request.
   * @returns The answer; errors have OpenAI's form.
   */
  async handle(request: Request): Promise<Response> {
    try {
      return await this.#placeOf(request).answer(request);
    } catch (error) {
      return asApiError(error).response();
    }
  }

  /** Refuses new work, and resolves once all that was accepted is done. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#engine.idle();
  }

  /** Refuses new work, and ends what was accepted. */
  async drop(): Promise<void> {
    this.#isStopping = true;
    this.#engine.drop();
    await this.#engine.idle();
  }

  #placeOf(request: Request): Place {
    const { pathname, host } = new URL(request.url);
    requireOwnOrigin(request, host);
    const place = Object.hasOwn(this.#places, pathname) ? this.#places[pathname]! : undefined;
    if (place === undefined) {
      throw new ApiError(404, `There is nothing at ${pathname.slice(0, 100)}`, {
        code: "not_found",
      });
    }
    const { method } = place;
    if (request.method !== method && !(method === "GET" && request.method === "HEAD")) {
      throw new ApiError(405, `${pathname} takes ${method}, not ${request.method}`, {
        code: "method_not_allowed",
        headers: { allow: method },
      });
    }
    if (this.#isStopping && method === "POST") {
      throw new ApiError(503, "The server is stopping; it finishes what it has begun", {
        code: "stopping",
        headers: { connection: "close" },
      });
    }
    return place;
  }

  #page(): Response {
    return new Response(this.#options.page, {
      headers: {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "content-security-policy":
          "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; " +
          "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      },
    });
  }

  #health(): Response {
    const { limits: { rows, queue } } = this.#options;
    const status = this.#isStopping ? "stopping" : "ok";
    const body = { status, ...this.#engine.load, rows, queue };
    return Response.json(body, { status: this.#isStopping ? 503 : 200 });
  }

  #model(): object {
    const { name, opened: { step }, limits: { context } } = this.#options;
    return {
      ...{ id: name, object: "model", created: this.#created, owned_by: "remoe" },
      ...{ step, max_model_len: context },
    };
  }

  /** Frees the cache. */
  [Symbol.dispose](): void {
    this.#engine[Symbol.dispose]();
  }
}

/** Pages of other sites, which a browser lets send requests here, get no answer. */
function requireOwnOrigin(request: Request, host: string): void {
  const origin = request.headers.get("origin");
  if (origin === null || URL.parse(origin)?.host === host) return;
  throw new ApiError(403, "Pages of other sites cannot use this server", {
    code: "foreign_origin",
  });
}
