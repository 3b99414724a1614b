/** Listens for requests. @module */

import { ConfigError } from "../errors.ts";
import { systemReason } from "../system_reason.ts";
import { Handler, type HandlerOptions } from "./handler.ts";

/** Settings of {@linkcode Server}. */
export interface ServerOptions extends HandlerOptions {
  /** The address to listen at. */
  readonly host: string;
  /** The port; 0: any that is free. */
  readonly port: number;
}

/** Milliseconds that clients have for the rest of their requests and answers once it stops. */
const PATIENCE = 5000;

/** A model that answers requests. */
export class Server implements AsyncDisposable {
  readonly #handler: Handler;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #closing = new AbortController();
  /** Settle when their answers have been sent. */
  readonly #underWay = new Set<Promise<void>>();
  #isClosed = false;

  /**
   * Opens the cache and listens.
   *
   * @throws {ConfigError} If the address cannot be listened at.
   */
  constructor(options: ServerOptions) {
    using made = new DisposableStack();
    const handler = this.#handler = made.use(new Handler(options));
    const { host, port } = options;
    try {
      this.#server = Deno.serve(
        { hostname: host, port, signal: this.#closing.signal, onListen: () => {} },
        (request, { completed }) => {
          this.#underWay.add(completed);
          const forget = (): void => void this.#underWay.delete(completed);
          completed.then(forget, forget);
          return handler.handle(request);
        },
      );
    } catch (cause) {
      throw new ConfigError(
        `Cannot listen at ${host}, port ${port}: ${
          systemReason(cause)
        }; choose another --host or ` +
          `--port, 0 for any port that is free`,
        { cause },
      );
    }
    made.move();
  }

  /** Where it listens, as a browser takes it. */
  get url(): string {
    const { hostname, port } = this.#server.addr;
    return `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  }

  /**
   * Refuses new work, and resolves once all that was accepted is done and delivered.
   *
   * @param patience Milliseconds that clients have for sending and taking what is left.
   */
  async stop(patience = PATIENCE): Promise<void> {
    await this.#handler.stop();
    await this.#close(patience);
  }

  /** Drops everything, and frees the cache. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handler.drop();
    await this.#close(0);
    this.#handler[Symbol.dispose]();
  }

  /**
   * Closes the connections, those in use once they are done or out of time. Once a server has been
   * asked to shut down, connections cannot be cut off any more, so answers are waited for before.
   */
  async #close(patience: number): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      resolve();
    }, patience);
    while (this.#underWay.size > 0 && !isLate) {
      await Promise.race([Promise.allSettled(this.#underWay), late]);
    }
    if (this.#underWay.size > 0) {
      this.#closing.abort();
      await this.#server.finished;
    } else {
      await Promise.race([this.#server.shutdown(), late]);
    }
    clearTimeout(timer);
  }
}
