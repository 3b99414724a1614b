/**
 * Generates the TypeScript side of the contract, `lib/ffi/{symbols,codes,layouts}.ts`, from
 * `kernels/include/remoe.h`: `deno task build:symbols`.
 *
 * @module
 */

import {
  type ForeignType,
  type Header,
  type HeaderEnum,
  HeaderError,
  type HeaderFunction,
  type HeaderLayout,
  readHeader,
} from "./read_header.ts";

const ROOT = new URL("../../", import.meta.url);

const NOTICE =
  "// Generated from kernels/include/remoe.h by `deno task build:symbols`: do not edit.\n\n";

const VALUE_TYPES: Readonly<Record<ForeignType, string>> = {
  i32: "number",
  u32: "number",
  u64: "bigint",
  f32: "number",
  f64: "number",
  buffer: "HostBuffer",
};

/**
 * Generates the TypeScript side of the contract.
 *
 * @param header The declarations of the header, by default this package's.
 * @returns The formatted text of each file, by its path in the repository.
 * @throws {HeaderError} If the header contains anything that cannot be translated.
 */
export async function generateSymbols(header = readHeader()): Promise<Record<string, string>> {
  return {
    "lib/ffi/symbols.ts": await formatted(symbolsFile(header)),
    "lib/ffi/codes.ts": await formatted(codesFile(header)),
    "lib/ffi/layouts.ts": await formatted(layoutsFile(header)),
  };
}

function symbolsFile({ functions }: Header): string {
  return `${NOTICE}
/** Host memory that a call reads or writes before it returns; \`null\` is a null pointer. */
export type HostBuffer = ArrayBufferView<ArrayBuffer> | ArrayBuffer | null;

/**
 * The functions of an open library. Calling them through this object keeps them on Deno's fast
 * path. All are callable; one that a build lacks returns \`Status.unsupported\`.
 */
export interface KernelSymbols {
  ${functions.map(signature).join("\n")}
}

/** The name of a function of the contract. */
export type SymbolName = keyof KernelSymbols;

/**
 * The C types of every function. A wrong type corrupts memory rather than failing, so none is
 * written by hand.
 *
 * Addresses are \`u64\`: as fast as a pointer, packable into a \`BigUint64Array\`, and usable with
 * \`--allow-ffi=<library>\` alone, while \`Deno.UnsafePointer\` asks for unscoped \`--allow-ffi\`.
 */
export const SYMBOLS = {
  ${functions.map(foreignFunction).join("\n")}
} as const satisfies Record<SymbolName, Deno.ForeignFunction>;
`;
}

function signature({ name, comment, parameters, result }: HeaderFunction): string {
  const list = parameters.map((each) => `${camelCase(each.name)}: ${VALUE_TYPES[each.type]}`);
  return `${docComment(comment)}\n${name}(${list.join(", ")}): ${VALUE_TYPES[result]};`;
}

function foreignFunction({ name, parameters, result, optional }: HeaderFunction): string {
  const types = JSON.stringify(parameters.map(({ type }) => type));
  return `${name}: { parameters: ${types}, result: "${result}"${
    optional ? ", optional: true" : ""
  } },`;
}

function codesFile({ abiVersion, enums }: Header): string {
  return `${NOTICE}
/** The version of the contract that this package calls. */
export const ABI_VERSION = ${abiVersion};

${enums.map(codes).join("\n\n")}
`;
}

function codes({ name, comment, constants }: HeaderEnum): string {
  const members = constants.map(({ key, value, comment }) =>
    `${comment === "" ? "" : `${docComment(comment)}\n`}${camelCase(key.toLowerCase())}: ${value},`
  );
  return `${docComment(comment)}
export const ${enumName(name)} = {
  ${members.join("\n")}
} as const;`;
}

function layoutsFile(header: Header): string {
  const names = new Map([
    ...header.layouts.map(({ name }) => [name, layoutName(name)] as const),
    ...header.enums.flatMap(({ name, constants }) =>
      constants.map((constant) =>
        [constant.name, `${enumName(name)}.${camelCase(constant.key.toLowerCase())}`] as const
      )
    ),
  ]);
  const functions = header.layouts.map((each) => layout(each, names)).join("\n\n");
  const used = header.enums.map(({ name }) => enumName(name))
    .filter((name) => functions.includes(`${name}.`));
  return `${NOTICE}import { ${used.join(", ")} } from "./codes.ts";\n\n${functions}\n`;
}

/** A layout in TypeScript, whose numbers are exact up to 2⁵³. */
function layout(
  { name, comment, parameters, value }: HeaderLayout,
  names: ReadonlyMap<string, string>,
): string {
  const expression = value.replace(/[a-z_]\w*/gi, (word) => {
    const translated = parameters.includes(word) ? camelCase(word) : names.get(word);
    if (translated === undefined) throw new HeaderError(`${name} uses ${word}, which is unknown`);
    return translated;
  });
  const list = parameters.map((each) => `${camelCase(each)}: number`).join(", ");
  return `${docComment(comment)}
export function ${layoutName(name)}(${list}): number {
  return ${expression};
}`;
}

/** `remoe_plan_words` in TypeScript: `planWords`. */
function layoutName(name: string): string {
  return camelCase(name.replace(/^remoe_/, ""));
}

/** `remoe_state_slot` in TypeScript: `StateSlot`; the project spells `dtype` with two capitals. */
function enumName(name: string): string {
  return camelCase(name.replace(/^remoe/, "")).replace(/^Dtype/, "DType");
}

function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** A header comment as JSDoc: paragraphs are refilled, indented lines kept as they are. */
function docComment(text: string): string {
  const paragraphs = text.replace(/(?<=^\S.*)\n(?=\S)/gm, " ");
  const lines = paragraphs.replace(/(.{1,92})(?: |$)\n?/gm, "$1\n").trimEnd().split("\n");
  return lines.length === 1 ? `/** ${lines[0]} */` : `/**\n * ${lines.join("\n * ")}\n */`;
}

async function formatted(text: string): Promise<string> {
  const config = new URL("deno.json", ROOT).pathname;
  const process = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", "--config", config, "--ext", "ts", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { success, stdout, stderr } = await process.output();
  if (!success) throw new HeaderError(`deno fmt failed: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  const files = await generateSymbols();
  for (const [path, text] of Object.entries(files)) {
    await Deno.writeTextFile(new URL(path, ROOT), text);
  }
}
