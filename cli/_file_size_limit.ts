/**
 * A limit on the size of files, `ulimit -f`.
 *
 * @module
 */

/** As long as it lives, a write beyond the limit fails and can say so; else it ends the process. */
export class FileSizeSignal implements Disposable {
  readonly #listener = (): void => {};

  /** Begins to take the signal, where the system has it. */
  constructor() {
    if (Deno.build.os !== "windows") Deno.addSignalListener("SIGXFSZ", this.#listener);
  }

  /** Leaves the signal to the system again. */
  [Symbol.dispose](): void {
    if (Deno.build.os !== "windows") Deno.removeSignalListener("SIGXFSZ", this.#listener);
  }
}
