/** How a tool ends. @module */

/** A class of errors. */
type ErrorClass = abstract new (...args: never[]) => Error;

/**
 * Runs a tool on the command line's arguments and exits with its code; with 1, and the message
 * alone, for an expected error. Any other is thrown.
 *
 * @param main The tool; returns the exit code.
 * @param expected What may go wrong with what the tool is given.
 */
export async function exitWith(
  main: (args: readonly string[]) => Promise<number>,
  ...expected: readonly ErrorClass[]
): Promise<never> {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!expected.some((each) => error instanceof each)) throw error;
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
