/** What the bench commands have in common. @module */

import { type Arguments, type Flags, parseFlags } from "../../cli/shared/arguments.ts";
import { yieldWhenWaiting } from "../../cli/shared/openmp.ts";
import { wholeNumber } from "../../cli/shared/numbers.ts";
import { flagTable } from "../../cli/shared/table.ts";
import { ConfigError } from "../../lib/errors.ts";

/** A bench command. */
export interface Command<Table extends Flags> {
  /** The command line to run it, for the help. */
  readonly call: string;
  /** What it does, in a paragraph. */
  readonly about: string;
  /** Its flags, `help` among them. */
  readonly flags: Table;
  /** Runs it; a {@linkcode ConfigError} means that the command line is wrong. */
  run(given: Arguments<Table>): Promise<void>;
}

/**
 * Runs a command with the process's arguments.
 *
 * @param command The command.
 */
export async function runCommand<Table extends Flags>(command: Command<Table>): Promise<void> {
  const usage = `Usage: ${command.call} [FLAGS]\n\n${command.about}\n\n${flagTable(command.flags)}`;
  try {
    const given = parseFlags(Deno.args, command.flags);
    if (given.has("help")) return console.log(usage);
    yieldWhenWaiting();
    await command.run(given);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    Deno.exitCode = 1;
  }
}

/**
 * Parses whole numbers separated by commas.
 *
 * @param flag Their flag, for the error.
 * @param text What was given.
 * @returns The numbers.
 * @throws {ConfigError} If one of them is not a whole number of at least 1.
 */
export function wholeNumbers(flag: string, text: string): number[] {
  return text.split(",").map((part) => wholeNumber(flag, part.trim(), { least: 1 }));
}
