/**
 * Ctrl-C, politely: the first asks a run to stop, a later one ends the process.
 *
 * @module
 */

/** What {@linkcode Interrupt} acts on; a test puts its own in. */
export interface InterruptHooks {
  /** Called once, when the run is first asked to stop. */
  readonly onRequest: () => void;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
  /** Milliseconds from any fixed point. */
  readonly now: () => number;
}

/** The exit code of a process that Ctrl-C ended: 128 and the signal's number. */
export const INTERRUPTED = 130;

/** A second Ctrl-C within this time is the first one: `deno task` delivers each to both processes. */
const ECHO_MS = 1000;

/** Turns SIGINT into an abort signal, as long as it is not disposed of. */
export class Interrupt implements Disposable {
  readonly #controller = new AbortController();
  readonly #hooks: InterruptHooks;
  readonly #listener = (): void => this.receive();
  #requestedAt: number | undefined;

  /**
   * Begins to listen.
   *
   * @param hooks What to act on.
   */
  constructor(hooks: InterruptHooks) {
    this.#hooks = hooks;
    Deno.addSignalListener("SIGINT", this.#listener);
  }

  /** Aborted once the run is to stop after the step it is in. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Takes one Ctrl-C. */
  receive(): void {
    const now = this.#hooks.now();
    if (this.#requestedAt === undefined) {
      this.#requestedAt = now;
      this.#controller.abort();
      this.#hooks.onRequest();
    } else if (now - this.#requestedAt >= ECHO_MS) {
      this.#hooks.exit(INTERRUPTED);
    }
  }

  /** Stops listening: Ctrl-C ends the process again. */
  [Symbol.dispose](): void {
    Deno.removeSignalListener("SIGINT", this.#listener);
  }
}
