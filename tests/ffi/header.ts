/** Reads `kernels/include/remoe.h` as far as tests need it. */

/** A function of the header. */
export interface HeaderFunction {
  readonly name: string;
  /** FFI type of the result. */
  readonly result: string;
  readonly parameters: readonly { readonly name: string; readonly type: string }[];
}

const TYPES: Readonly<Record<string, string>> = {
  int32_t: "i32",
  uint32_t: "u32",
  uint64_t: "u64",
  float: "f32",
  double: "f64",
};

const HEADER = Deno.readTextFileSync(new URL("../../kernels/include/remoe.h", import.meta.url))
  .replace(/\/\*.*?\*\//gs, "");

/** All functions, in the order of the header. */
export function headerFunctions(): HeaderFunction[] {
  return [...HEADER.matchAll(/REMOE_API\s+(\w+)\s+(\w+)\s*\(([^)]*)\)\s*;/g)].map((match) => {
    const [, result = "", name = "", list = ""] = match;
    const parameters = list.trim() === "void" ? [] : list.split(",").map(parseParameter);
    return { name, result: ffiType(result), parameters };
  });
}

/** All enums: their constants by name, such as `{ status: { REMOE_OK: 0 } }`. */
export function headerEnums(): Record<string, Record<string, number>> {
  const enums = [...HEADER.matchAll(/enum remoe_(\w+)\s*\{([^}]*)\}/g)].map((match) => {
    const [, name = "", body = ""] = match;
    const constants = [...body.matchAll(/(\w+)\s*=\s*(\d+)/g)].map(([, key = "", value]) =>
      [key, Number(value)] as const
    );
    return [name, Object.fromEntries(constants)] as const;
  });
  return Object.fromEntries(enums);
}

/** The value of a `#define`. */
export function headerConstant(name: string): number {
  return Number(new RegExp(`#define ${name} (\\d+)`).exec(HEADER)?.[1]);
}

function parseParameter(text: string): { name: string; type: string } {
  const match = /^(?:const\s+)?(\w+)\s*(\*?)\s*(\w+)$/.exec(text.trim());
  if (match === null) throw new Error(`Cannot read the parameter "${text}" of the header`);
  const [, type = "", star, name = ""] = match;
  return { name, type: star ? "buffer" : ffiType(type) };
}

function ffiType(type: string): string {
  const known = TYPES[type];
  if (known === undefined) throw new Error(`Cannot pass the C type "${type}" through FFI`);
  return known;
}
