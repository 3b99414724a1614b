import { largest, smallest } from "../extremes.ts";

/**
 * Ends a text at the first stop string. It holds back the text that may turn out to be the start of
 * one, as stop strings may be spread over several tokens.
 */
export class StopFilter {
  readonly #stops: readonly string[];
  #held = "";
  #isStopped = false;

  /**
   * Begins a text.
   *
   * @param stops Texts to end at; none of them is empty.
   */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** Whether a stop string came. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /**
   * Takes the next piece.
   *
   * @param piece Text.
   * @returns The text that certainly comes before any stop string.
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
   * @returns What was held back.
   */
  end(): string {
    const text = this.#held;
    this.#held = "";
    return text;
  }
}

/** The length of the longest end of `text` that begins `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
