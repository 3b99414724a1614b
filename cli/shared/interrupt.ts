/**
 * Handles Ctrl-C: the first asks a run to stop, a later one ends the process.
 *
 * @module
 */

/** What {@linkcode Interrupt} acts on; a test supplies its own. */
export interface InterruptHooks {
  /** The signals that count as Ctrl-C. Default SIGINT. */
  readonly signals?: readonly Deno.Signal[];
  /** Called once, when the run is asked to stop. */
  readonly onRequest: () => void;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
  /** Milliseconds from any fixed point. */
  readonly now: () => number;
}

/** The exit code of a process that Ctrl-C ended: 128 + SIGINT. */
export const INTERRUPTED = 130;

/** A second SIGINT within this time is the same Ctrl-C: under `deno task` each arrives twice. */
const ECHO_MS = 1000;

/** Turns SIGINT, and other signals if asked, into an abort signal until it is disposed of. */
export class Interrupt implements Disposable {
  readonly #controller = new AbortController();
  readonly #hooks: InterruptHooks;
  readonly #listener = (): void => this.receive();
  #requestedAt: number | undefined;

  /**
   * Starts listening.
   *
   * @param hooks What to act on.
   */
  constructor(hooks: InterruptHooks) {
    this.#hooks = hooks;
    for (const signal of this.#signals) Deno.addSignalListener(signal, this.#listener);
  }

  get #signals(): readonly Deno.Signal[] {
    return this.#hooks.signals ?? ["SIGINT"];
  }

  /** Aborted once the run is to stop after its current step. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Handles one Ctrl-C. */
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
    for (const signal of this.#signals) Deno.removeSignalListener(signal, this.#listener);
  }
}
