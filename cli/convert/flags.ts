/**
 * The flags of `convert`.
 *
 * @module
 */

import { ConfigError } from "../../lib/errors.ts";
import { absolutePath, type Arguments, type Flag, parseFlags } from "../shared/arguments.ts";

/** The flags of `convert`, in the order of the help. */
export const CONVERT_FLAGS = {
  out: { value: "DIR", about: "Folder to create; it may exist if it is empty" },
  sequence: {
    value: "N",
    whole: { least: 1 },
    about: "With import: longest sequence to use the model with",
    fallback: "the longest it was made for",
  },
  help: { about: "Print this help, and exit" },
} as const satisfies Readonly<Record<string, Flag>>;

/** What a command line of `convert` asks for. */
export type ConvertRequest =
  & {
    /** The folder to read, absolute. */
    readonly from: string;
    /** The folder to create, absolute. */
    readonly out: string;
  }
  & ({
    readonly action: "import";
    /** Longest sequence; undefined: the longest that the model was made for. */
    readonly sequence: number | undefined;
  } | { readonly action: "export" });

/**
 * Parses the flags of `convert`.
 *
 * @param args The command line.
 * @returns What was given.
 * @throws {ConfigError} If a flag is unknown or lacks its value.
 */
export function parseConvertFlags(args: readonly string[]): Arguments<typeof CONVERT_FLAGS> {
  return parseFlags(args, CONVERT_FLAGS, { operands: true });
}

/**
 * Checks what was given.
 *
 * @param given What {@linkcode parseConvertFlags} returned.
 * @param base The folder that relative paths are resolved against.
 * @returns The request.
 * @throws {ConfigError} If anything is missing, or does not go together.
 */
export function convertRequest(
  given: Arguments<typeof CONVERT_FLAGS>,
  base: string,
): ConvertRequest {
  const [action, folder, extra] = given.operands;
  if (action !== "import" && action !== "export") {
    throw new ConfigError(
      `${action === undefined ? "Convert what" : `Unknown action ${action}`}? Give import FOLDER ` +
        `or export RUN; see --help`,
    );
  }
  if (folder === undefined) {
    const operand = action === "import" ? "FOLDER" : "RUN";
    throw new ConfigError(`Which model? Give ${action} ${operand}; see --help`);
  }
  if (extra !== undefined) throw new ConfigError(`Unexpected argument ${extra}; see --help`);
  const out = given.value("out");
  if (out === undefined) throw new ConfigError("Where to? Give --out DIR; see --help");
  const sequence = given.whole("sequence");
  const places = { from: absolutePath(folder, base), out: absolutePath(out, base) };
  if (action === "import") return { action, ...places, sequence };
  if (sequence !== undefined) {
    throw new ConfigError("--sequence goes with import; an export keeps data.sequence");
  }
  return { action, ...places };
}
