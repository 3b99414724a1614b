/**
 * Reads a contract in the subset of C documented in `kernels/include/remoe.h`. Anything else is an
 * error, since a declaration silently skipped would be missing from the bindings.
 *
 * @module
 */

/** Location of the contract. */
const HEADER = new URL("../include/remoe.h", import.meta.url);

/** The FFI type of a C type. */
export type ForeignType = "i32" | "u32" | "u64" | "f32" | "f64" | "buffer";

/** A parameter of a function. */
export interface Parameter {
  readonly name: string;
  readonly type: ForeignType;
}

/** A function of the contract: `REMOE_API`. */
export interface HeaderFunction {
  readonly name: string;
  readonly comment: string;
  readonly parameters: readonly Parameter[];
  readonly result: ForeignType;
  /** Whether a build may lack it: its comment does not say `[required]`. */
  readonly optional: boolean;
}

/** A constant of an enum. */
export interface HeaderConstant {
  /** The full name, such as `REMOE_STATE_LAMBDA`. */
  readonly name: string;
  /** The name without the prefix of the enum, such as `LAMBDA`. */
  readonly key: string;
  readonly value: number;
  /** Empty if there is none. */
  readonly comment: string;
}

/** An enum. */
export interface HeaderEnum {
  readonly name: string;
  readonly comment: string;
  readonly constants: readonly HeaderConstant[];
}

/** A computed offset into a buffer: `REMOE_LAYOUT`. */
export interface HeaderLayout {
  readonly name: string;
  readonly comment: string;
  /** Names of its parameters, all of them `int64_t`. */
  readonly parameters: readonly string[];
  /** The C expression it returns: names, integers, calls, `+`, `-` and `*`. */
  readonly value: string;
}

/** A header's declarations, each kind in order. */
export interface Header {
  readonly abiVersion: number;
  readonly functions: readonly HeaderFunction[];
  readonly enums: readonly HeaderEnum[];
  readonly layouts: readonly HeaderLayout[];
}

/** A header outside the subset; the message says where, and what is expected. */
export class HeaderError extends Error {
  /** Always `HeaderError`. */
  override readonly name = "HeaderError";
}

const TYPES: Readonly<Record<string, ForeignType>> = {
  int32_t: "i32",
  uint32_t: "u32",
  uint64_t: "u64",
  float: "f32",
  double: "f64",
};

const DECLARATIONS = {
  space: /\s+/y,
  comment: /\/\*([\s\S]*?)\*\//y,
  version: /#define REMOE_ABI_VERSION (\d+)/y,
  function: /REMOE_API\s+(\w+)\s+(\w+)\s*\(([^)]*)\)\s*;/y,
  enum: /enum\s+(\w+)\s*\{([^}]*)\}\s*;/y,
  layout: /REMOE_LAYOUT\s+int64_t\s+(\w+)\s*\(([^)]*)\)\s*\{\s*return\s+([\w\s()+*,-]+);\s*\}/y,
};

/**
 * Reads a header.
 *
 * @param text Its text, by default the contract's; only the part inside `extern "C" {` is read.
 * @returns Its declarations.
 * @throws {HeaderError} If it contains anything that the bindings cannot be generated from.
 */
export function readHeader(text = Deno.readTextFileSync(HEADER)): Header {
  const reader = new Reader();
  const body = /^extern "C" \{\n#endif$(.*)^#ifdef __cplusplus$/dms.exec(text)?.indices?.[1];
  if (body === undefined) throw new HeaderError('There is no extern "C" block');
  const [begin, end] = body;
  let at = begin;
  while (at < end) {
    const found = Object.entries(DECLARATIONS).map(([kind, pattern]) => {
      pattern.lastIndex = at;
      return { kind: kind as keyof typeof DECLARATIONS, match: pattern.exec(text) };
    }).find(({ match }) => match !== null);
    const line = text.slice(0, at).split("\n").length;
    if (!found?.match) {
      throw new HeaderError(
        `Line ${line} is not a comment, REMOE_ABI_VERSION, function, enum or layout: ` +
          text.slice(at).split("\n", 1)[0],
      );
    }
    try {
      const [whole, ...groups] = found.match;
      reader[found.kind](whole, ...groups);
    } catch (error) {
      if (error instanceof HeaderError) error.message = `Line ${line}: ${error.message}`;
      throw error;
    }
    at += found.match[0].length;
  }
  if (reader.abiVersion === 0) throw new HeaderError("REMOE_ABI_VERSION is not defined");
  return reader;
}

/** Collects declarations in order; its methods receive the groups of their pattern. */
class Reader implements Header {
  abiVersion = 0;
  readonly functions: HeaderFunction[] = [];
  readonly enums: HeaderEnum[] = [];
  readonly layouts: HeaderLayout[] = [];
  #comment = "";

  space(text = ""): void {
    // A comment belongs to the declaration right below it.
    if (text.includes("\n\n")) this.#comment = "";
  }

  comment(_: string, text = ""): void {
    this.#comment = text.startsWith(" ----") ? "" : plainText(text);
  }

  version(_: string, version = ""): void {
    this.abiVersion = Number(version);
    this.#comment = "";
  }

  function(_: string, result = "", name = "", list = ""): void {
    const comment = this.#commentOf(name);
    this.functions.push({
      name,
      comment,
      parameters: split(list).map(parameter),
      result: foreignType(result),
      optional: !comment.includes("[required]"),
    });
  }

  enum(_: string, name = "", body = ""): void {
    this.enums.push({ name, comment: this.#commentOf(name), constants: constants(name, body) });
  }

  layout(_: string, name = "", list = "", value = ""): void {
    const parameters = split(list).map((each) => {
      const [, parameter] = /^int64_t (\w+)$/.exec(each) ?? [];
      if (parameter === undefined) throw new HeaderError(`"${each}" of ${name} is not an int64_t`);
      return parameter;
    });
    this.layouts.push({ name, comment: this.#commentOf(name), parameters, value });
  }

  #commentOf(name: string): string {
    const comment = this.#comment;
    if (comment === "") throw new HeaderError(`${name} has no comment right above it`);
    this.#comment = "";
    return comment;
  }
}

/**
 * The constants of an enum, without their prefix: the enum's name less the last word, or just
 * `REMOE_`.
 */
function constants(name: string, body: string): HeaderConstant[] {
  const CONSTANT = /\s*(\w+) = (\d+),?(?:[ \n]*\/\*([\s\S]*?)\*\/)?\s*/y;
  const found: { name: string; value: number; comment: string }[] = [];
  while (CONSTANT.lastIndex < body.length) {
    const rest = body.slice(CONSTANT.lastIndex).trim();
    const match = CONSTANT.exec(body);
    if (match === null) {
      throw new HeaderError(`"${rest}" of ${name} is not a constant with a value`);
    }
    const [, constant = "", value, comment = ""] = match;
    found.push({ name: constant, value: Number(value), comment: plainText(comment) });
  }
  const subject = name.replace(/[^_]*$/, "").toUpperCase();
  const isPrefixed = found.filter((constant) => constant.name.startsWith(subject)).length;
  const prefix = isPrefixed === 0 ? "REMOE_" : subject;
  return found.map((constant) => {
    if (!constant.name.startsWith(prefix)) {
      throw new HeaderError(`${constant.name} of ${name} does not start with ${prefix}`);
    }
    return { ...constant, key: constant.name.slice(prefix.length) };
  });
}

function split(list: string): string[] {
  return list.trim() === "void" ? [] : list.split(",").map((each) => each.trim());
}

function parameter(text: string): Parameter {
  const match = /^(?:const\s+)?(\w+)\s*(\*?)\s*(\w+)$/.exec(text);
  if (match === null) throw new HeaderError(`"${text}" is not a parameter`);
  const [, type = "", star, name = ""] = match;
  return { name, type: star ? "buffer" : foreignType(type) };
}

function foreignType(type: string): ForeignType {
  const known = TYPES[type];
  if (known === undefined) {
    const types = Object.keys(TYPES).join(", ");
    throw new HeaderError(`the C type "${type}" does not cross FFI; use ${types} or a pointer`);
  }
  return known;
}

/** The text of a comment, without the stars on the left. */
function plainText(comment: string): string {
  return comment.split("\n").map((line) => line.replace(/^\s*\* ?|^\s+/, "").trimEnd()).join("\n")
    .trim();
}
