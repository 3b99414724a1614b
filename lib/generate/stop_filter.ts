import { largest, smallest } from "../extremes.ts";

/**
 * Ends a text at the first stop string. Stop strings may span several tokens, so text that could be
 * the beginning of one is held back.
 */
export class StopFilter {
  readonly #stops: readonly string[];
  #held = "";
  #isStopped = false;

  /**
   * Creates a filter for one text.
   *
   * @param stops Strings to end at, none of them empty.
   */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** Whether a stop string has been found. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Text held back since it may be the beginning of a stop string. */
  get held(): string {
    return this.#held;
  }

  /**
   * Appends a piece.
   *
   * @param piece Text.
   * @returns The text that is known to precede any stop string.
   */
  push(piece: string): string {
    if (this.#isStopped) return "";
    const text = this.#held + piece;
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#isStopped = true;
      this.#held = "";
      return text.slice(0, smallest(found));
    }
    const kept = Math.max(0, largest(this.#stops.map((stop) => overlap(text, stop))));
    this.#held = text.slice(text.length - kept);
    return text.slice(0, text.length - kept);
  }

  /**
   * Ends the text.
   *
   * @returns The text held back so far.
   */
  end(): string {
    const text = this.#held;
    this.#held = "";
    return text;
  }
}

/** Length of the longest suffix of `text` that is a proper prefix of `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
