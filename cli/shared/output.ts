/**
 * Where a command writes: results to standard output, everything else to standard error.
 *
 * @module
 */

import { FileError } from "../../lib/errors.ts";
import { systemReason } from "../../lib/system_reason.ts";
import { visible } from "../../lib/visible.ts";
import { printable } from "./format.ts";

/** A command's two output streams; a test supplies its own. */
export interface Output {
  /**
   * Writes a result and a newline; control characters are escaped.
   *
   * @param text The text.
   */
  result(text: string): void;
  /**
   * Writes part of a result as it is; on a terminal, U+FFFD replaces control characters.
   *
   * @param text The text.
   * @returns False once the reader has closed the stream.
   */
  text(text: string): boolean;
  /**
   * Writes progress and errors; control characters are escaped.
   *
   * @param text The text.
   */
  progress(text: string): void;
  /**
   * Writes to the same stream as it is, including characters that move the cursor.
   *
   * @param text The text; nothing in it may come from a file, a path or a model.
   */
  draw(text: string): void;
  /** Columns of the terminal behind standard error; null: not a terminal. */
  readonly columns: number | null;
}

/**
 * The process's own streams.
 *
 * @returns The output.
 */
export function processOutput(): Output {
  const onTerminal = Deno.stdout.isTerminal();
  const draw = (text: string): void => void writeAll(Deno.stderr, "standard error", text);
  return {
    result: (text) => void writeAll(Deno.stdout, OUT, `${visible(text)}\n`),
    text: (text) => writeAll(Deno.stdout, OUT, onTerminal ? printable(text) : text),
    progress: (text) => draw(visible(text)),
    draw,
    columns: Deno.stderr.isTerminal() ? Deno.consoleSize().columns : null,
  };
}

const OUT = "standard output";

function writeAll(stream: typeof Deno.stdout, name: string, text: string): boolean {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let written = 0; written < bytes.length;) {
      written += stream.writeSync(bytes.subarray(written));
    }
    return true;
  } catch (error) {
    // `| head` closes the pipe; training continues, since its results are in the run directory.
    if (error instanceof Deno.errors.BrokenPipe) return false;
    throw new FileError(`Cannot write to ${name}: ${systemReason(error)}`, name, { cause: error });
  }
}
