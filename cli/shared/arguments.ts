/**
 * Command line flags, strictly: unknown ones, missing values and stray arguments are errors.
 *
 * @module
 */

import { resolve } from "node:path";
import { parseArgs } from "@std/cli/parse-args";
import { ConfigError } from "../../lib/errors.ts";
import { readEnvironment } from "../../lib/permissions.ts";
import { systemReason } from "../../lib/system_reason.ts";
import { nearest } from "../../lib/nearest.ts";

/** One flag of a command. */
export interface Flag {
  /** What stands for its value in the help, like `N`; absent: the flag takes none. */
  readonly value?: string;
  /** Whether it may be given more than once; otherwise the last one counts. */
  readonly repeat?: boolean;
  /** What it does. */
  readonly about: string;
  /** What holds without it, for the help. */
  readonly fallback?: string;
}

/** The flags of a command by name, without the dashes. */
export type Flags = Readonly<Record<string, Flag>>;

/** What was given on a command line. */
export interface Arguments<Table extends Flags> {
  /**
   * Tells whether a flag was given.
   *
   * @param name The flag.
   * @returns Whether it was.
   */
  has(name: keyof Table & string): boolean;
  /**
   * Gives a flag's value.
   *
   * @param name The flag.
   * @returns The last value; undefined where the flag was not given.
   */
  value(name: keyof Table & string): string | undefined;
  /**
   * Gives the values of a flag that may be repeated.
   *
   * @param name The flag.
   * @returns The values in order.
   */
  values(name: keyof Table & string): readonly string[];
  /** The arguments that are no flags, where the command takes such. */
  readonly operands: readonly string[];
}

/** What a command line may hold besides flags. */
export interface ParseFlagsOptions {
  /** Whether arguments that are no flags are taken; default: they are errors. */
  readonly operands?: boolean;
}

/**
 * Reads a command line.
 *
 * @param args The arguments, as `Deno.args` has them.
 * @param flags The command's flags.
 * @param options Whether it takes more than flags.
 * @returns What was given; every value is a text of at least one character.
 * @throws {ConfigError} An unknown flag, with the nearest known one; a flag without its value or
 * with one too many; an argument that is no flag.
 */
export function parseFlags<Table extends Flags>(
  args: readonly string[],
  flags: Table,
  options: ParseFlagsOptions = {},
): Arguments<Table> {
  const operands: string[] | null = options.operands ? [] : null;
  const withValue = Object.keys(flags).filter((name) => flags[name]!.value !== undefined);
  const given = parseArgs(joinValues(args, flags, operands), {
    string: withValue,
    boolean: Object.keys(flags).filter((name) => !withValue.includes(name)),
    collect: withValue,
    alias: { h: "help" },
    "--": true,
  }) as Record<string, unknown>;
  const values = (name: string): string[] => given[name] as string[];
  return {
    has: (name) =>
      flags[name]!.value === undefined ? given[name] === true : values(name).length > 0,
    value: (name) => values(name).at(-1),
    values,
    operands: operands ?? [],
  };
}

/**
 * The folder that relative paths of a command line start from: `deno task` runs in the project's
 * root and says in `INIT_CWD` where it was called.
 *
 * @returns An absolute path.
 * @throws {ConfigError} The current folder is gone.
 */
export function callingDirectory(): string {
  try {
    return readEnvironment("INIT_CWD") ?? Deno.cwd();
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    throw new ConfigError(
      `Cannot tell the current folder: ${systemReason(cause)}; change to another folder`,
      { cause },
    );
  }
}

/**
 * Makes a path absolute.
 *
 * @param path A path as it was written.
 * @param base The folder that relative ones start from.
 * @returns The absolute path.
 */
export function absolutePath(path: string, base: string): string {
  return resolve(base, path);
}

/**
 * Reads a decimal number; `Number` alone would also take `0x10`, spaces and the empty text.
 *
 * @param text What was written.
 * @returns The number; undefined where it is none.
 */
export function decimal(text: string): number | undefined {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
}

/**
 * Checks each argument and writes flags with their values as `--flag=value`. `parseArgs` alone
 * would take `--out --dry-run` for an empty path, `--lr -1e-3` for two flags, and any unknown flag
 * for a known one. Arguments that are no flags go to `operands`; where there is no such list, they
 * are errors.
 */
function joinValues(
  args: readonly string[],
  flags: Flags,
  operands: string[] | null,
): string[] {
  const joined: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index]!;
    if (arg === "-h") {
      joined.push("--help");
      continue;
    }
    const [, name, inline] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) {
      if (operands === null || arg.startsWith("-")) {
        throw new ConfigError(`Unexpected argument ${arg}; see --help`);
      }
      operands.push(arg);
      continue;
    }
    const flag = Object.hasOwn(flags, name) ? flags[name]! : unknownFlag(name, flags);
    if (flag.value === undefined) {
      if (inline !== undefined) throw new ConfigError(`--${name} takes no value, got ${inline}`);
      joined.push(arg);
      continue;
    }
    const next = args[index + 1];
    const value = inline ?? (next?.startsWith("--") ? undefined : next);
    if (inline === undefined && value !== undefined) index++;
    if (value === "") throw new ConfigError(`--${name} is empty; give --${name} ${flag.value}`);
    if (!value) throw new ConfigError(`--${name} needs a value: --${name} ${flag.value}`);
    joined.push(`--${name}=${value}`);
  }
  return joined;
}

function unknownFlag(name: string, flags: Flags): never {
  if (name.includes(".")) {
    throw new ConfigError(
      `Unknown flag --${name}; keys of the configuration go by --set ${name}=…`,
    );
  }
  const meant = nearest(name, Object.keys(flags));
  const hint = meant === undefined ? "see --help" : `did you mean --${meant}?`;
  throw new ConfigError(`Unknown flag --${name}, ${hint}`);
}
