/**
 * The progress of an evaluation on standard error: a line that is redrawn on a terminal, a line
 * every few seconds elsewhere.
 *
 * @module
 */

import { formatCount, formatSeconds } from "../shared/format.ts";
import type { Output } from "../shared/output.ts";

/** Time between lines, on a terminal and elsewhere. */
const [DRAWN_MS, PLAIN_MS] = [200, 5000];

/** Shows how far an evaluation is. */
export class EvaluationProgress {
  readonly #output: Output;
  readonly #total: number;
  readonly #now: () => number;
  readonly #started: number;
  #shown: number;
  #done = 0;

  /**
   * Starts the clock.
   *
   * @param output Where to show it.
   * @param total Tokens to score.
   * @param now Milliseconds from any fixed point.
   */
  constructor(output: Output, total: number, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#total = total;
    this.#now = now;
    this.#started = this.#shown = now();
  }

  /** Seconds since the start. */
  get seconds(): number {
    return (this.#now() - this.#started) / 1000;
  }

  /**
   * Counts tokens.
   *
   * @param tokens How many were scored.
   * @param what What they belong to.
   */
  add(tokens: number, what: string): void {
    this.#done += tokens;
    const { columns } = this.#output;
    const now = this.#now();
    if (now - this.#shown < (columns === null ? PLAIN_MS : DRAWN_MS)) return;
    this.#shown = now;
    const line = this.#line(what);
    if (columns === null) this.#output.progress(`${line}\n`);
    else this.#output.draw(`\r\x1b[K${line.slice(0, columns - 1)}`);
  }

  /** Clears the line. */
  stop(): void {
    if (this.#output.columns !== null) this.#output.draw("\r\x1b[K");
  }

  #line(what: string): string {
    const rate = this.#done / this.seconds;
    const left = (this.#total - this.#done) / rate;
    const share = Math.floor(100 * this.#done / this.#total);
    return `${what}  ${share} % of ${formatCount(this.#total)} tokens  ` +
      `${formatCount(rate)} tokens/s  ${formatSeconds(left)} left`;
  }
}
