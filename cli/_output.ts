/**
 * Where a command writes: results to standard output, everything else to standard error.
 *
 * @module
 */

/** The two streams of a command; a test puts its own in. */
export interface Output {
  /**
   * Writes a result, with a newline.
   *
   * @param text The text.
   */
  result(text: string): void;
  /**
   * Writes part of a result as it is.
   *
   * @param text The text.
   * @returns False once nobody reads it any more.
   */
  text(text: string): boolean;
  /**
   * Writes progress and errors as they are.
   *
   * @param text The text.
   */
  progress(text: string): void;
  /** Columns of the terminal behind standard error; null: none. */
  readonly columns: number | null;
}

/**
 * The process's own streams.
 *
 * @returns The output.
 */
export function processOutput(): Output {
  return {
    result: (text) => void writeAll(Deno.stdout, `${text}\n`),
    text: (text) => writeAll(Deno.stdout, text),
    progress: (text) => void writeAll(Deno.stderr, text),
    columns: Deno.stderr.isTerminal() ? Deno.consoleSize().columns : null,
  };
}

function writeAll(stream: typeof Deno.stdout, text: string): boolean {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let written = 0; written < bytes.length;) {
      written += stream.writeSync(bytes.subarray(written));
    }
    return true;
  } catch (error) {
    // `| head` closes the pipe; training goes on, since its results are in the run directory.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    return false;
  }
}
