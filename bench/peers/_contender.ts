/**
 * A process that repeats the same work on demand, and reports how long it took.
 *
 * @module
 */

import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { Real } from "../../lib/tensor/dtype.ts";

/** How to start a contender. */
export interface ContenderCommand {
  /** Its name in the tables. */
  readonly name: string;
  /** The type of its products. */
  readonly dtype: Real;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** What a contender is asked for. */
export interface Order {
  /** Number of steps or texts. */
  readonly times: number;
}

/** What it answers. */
export interface Answer {
  /** Milliseconds of each step or text. */
  readonly ms: readonly number[];
  /** The losses, or the texts, as strings or as tokens. */
  readonly values: readonly (number | string | readonly number[])[];
}

/** A running contender. Between orders it waits without using a core. */
export class Contender implements AsyncDisposable {
  readonly name: string;
  readonly dtype: Real;
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #lines: AsyncIterator<string>;

  /**
   * Starts a contender. Its errors go to standard error.
   *
   * @param how Command, arguments, environment.
   */
  constructor({ name, dtype, command, args, env }: ContenderCommand) {
    this.name = name;
    this.dtype = dtype;
    this.#process = new Deno.Command(command, {
      args: [...args],
      env,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.#process.stdin.getWriter();
    // deno-lint-ignore no-explicit-any -- Deno's and Node's types of one web stream differ.
    const input = Readable.fromWeb(this.#process.stdout as any);
    this.#lines = createInterface({ input })[Symbol.asyncIterator]();
  }

  /**
   * Makes it work.
   *
   * @param order How much to do.
   * @returns Times and results.
   * @throws {Error} If the process ended instead.
   */
  async run(order: Order): Promise<Answer> {
    await this.#writer.write(new TextEncoder().encode(`${JSON.stringify(order)}\n`));
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.name} ended before it answered; its message is above`);
    return JSON.parse(value) as Answer;
  }

  /** Ends the process and waits until its memory is free. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#process.status;
  }
}
