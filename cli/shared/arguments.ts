/**
 * Strict command-line flags: unknown ones, missing values and stray arguments are errors.
 *
 * @module
 */

import { resolve } from "node:path";
import { parseArgs } from "@std/cli/parse-args";
import { ConfigError } from "../../lib/errors.ts";
import { readEnvironment } from "../../lib/permissions.ts";
import { systemReason } from "../../lib/system_reason.ts";
import { nearest } from "../../lib/nearest.ts";
import { wholeNumber, type WholeRange } from "./numbers.ts";

/** One flag of a command. */
export interface Flag {
  /** The placeholder of its value in the help, like `N`; absent: the flag takes none. */
  readonly value?: string;
  /** The numbers it accepts if it is a whole number; absent: its value is any text. */
  readonly whole?: WholeRange;
  /** Whether it may be given more than once; otherwise the last one counts. */
  readonly repeat?: boolean;
  /** What it does. */
  readonly about: string;
  /** The default, for the help. */
  readonly fallback?: string;
}

/** The flags of a command by name, without the dashes. */
export type Flags = Readonly<Record<string, Flag>>;

/** The names of a table's flags that are whole numbers. */
export type WholeFlag<Table extends Flags> =
  & { [Name in keyof Table]: Table[Name] extends { readonly whole: WholeRange } ? Name : never }[
    keyof Table
  ]
  & string;

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
   * Returns a flag's value.
   *
   * @param name The flag.
   * @returns The last value; undefined if the flag was not given.
   */
  value(name: keyof Table & string): string | undefined;
  /**
   * Returns the value of a flag that is a whole number.
   *
   * @param name The flag.
   * @returns The last value; undefined if the flag was not given.
   */
  whole(name: WholeFlag<Table>): number | undefined;
  /**
   * Returns the values of a flag that may be repeated.
   *
   * @param name The flag.
   * @returns The values in order.
   */
  values(name: keyof Table & string): readonly string[];
  /** The arguments that are not flags, if the command takes any. */
  readonly operands: readonly string[];
}

/** What a command line may hold besides flags. */
export interface ParseFlagsOptions {
  /** Whether arguments other than flags are allowed; default false. */
  readonly operands?: boolean;
}

/**
 * Parses a command line.
 *
 * @param args The arguments, as in `Deno.args`.
 * @param flags The command's flags.
 * @param options What else the command takes.
 * @returns What was given; no value is empty.
 * @throws {ConfigError} If a flag is unknown (names the nearest known one), lacks its value or
 * takes none, is not the whole number it should be, or an argument is not a flag.
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
  const wholes = new Map(
    withValue.flatMap((name) => {
      const { whole } = flags[name]!;
      const text = values(name).at(-1);
      return whole === undefined || text === undefined
        ? []
        : [[name, wholeNumber(name, text, whole)] as const];
    }),
  );
  return {
    has: (name) =>
      flags[name]!.value === undefined ? given[name] === true : values(name).length > 0,
    value: (name) => values(name).at(-1),
    whole: (name) => wholes.get(name),
    values,
    operands: operands ?? [],
  };
}

/**
 * The folder that a command line's relative paths are resolved against. `deno task` runs in the
 * project's root, and says in `INIT_CWD` where it was called.
 *
 * @returns An absolute path.
 * @throws {ConfigError} If the current folder no longer exists.
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
 * @param path A path as given.
 * @param base The folder to resolve relative paths against.
 * @returns The absolute path.
 */
export function absolutePath(path: string, base: string): string {
  return resolve(base, path);
}

/**
 * Checks each argument and joins flags with their values as `--flag=value`. `parseArgs` alone would
 * take `--out --dry-run` for an empty path, `--lr -1e-3` for two flags, and any unknown flag for a
 * known one. Other arguments go to `operands`, or are errors if there is no such list.
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
      `Unknown flag --${name}; set keys of the configuration with --set ${name}=…`,
    );
  }
  const meant = nearest(name, Object.keys(flags));
  const hint = meant === undefined ? "see --help" : `did you mean --${meant}?`;
  throw new ConfigError(`Unknown flag --${name}, ${hint}`);
}
