import { assertEquals, assertLessOrEqual, assertRejects, assertThrows } from "@std/assert";
import { generateSymbols } from "../../kernels/tools/generate_symbols.ts";
import { HeaderError, readHeader } from "../../kernels/tools/read_header.ts";
import {
  planExpertOffset,
  planRowToken,
  planTokenOffset,
  planTokenRow,
  planWords,
  stateRecord,
} from "../../lib/ffi/layouts.ts";
import { SYMBOLS } from "../../lib/ffi/symbols.ts";

Deno.test("the bindings match the header", async () => {
  for (const [path, text] of Object.entries(await generateSymbols())) {
    const written = Deno.readTextFileSync(new URL(`../../${path}`, import.meta.url));
    assertEquals(written, text, `${path} is stale: run \`deno task build:symbols\``);
  }
});

Deno.test("no function has more than 24 parameters", () => {
  // With 30 integer parameters, Deno aborts the process once it optimises the call.
  for (const [name, { parameters }] of Object.entries(SYMBOLS)) {
    assertLessOrEqual(parameters.length, 24, name);
  }
});

Deno.test("a build must have its version and information functions, and may lack the rest", () => {
  const required = readHeader().functions.filter(({ optional }) => !optional);
  assertEquals(required.map(({ name }) => name), ["remoe_abi_version", "remoe_build_info"]);
});

Deno.test("the layouts are those of ABI version 3", () => {
  // As literals: the kernels and the reference share one source for theirs.
  const [tokens, experts, capacity] = [100, 8, 50];
  assertEquals(planExpertOffset(), 4);
  assertEquals(planTokenOffset(experts), 4 + 9);
  assertEquals(planRowToken(tokens, experts), 4 + 9 + 101);
  assertEquals(planTokenRow(tokens, experts, capacity), 4 + 9 + 101 + 50);
  assertEquals(planWords(tokens, experts, capacity), 4 + 9 + 101 + 50 + 50);
  assertEquals(stateRecord(2, experts), 32 + 2 * (4 + 8));
});

/** A header with the given declarations. */
function header(declarations: string): string {
  return `extern "C" {\n#endif\n\n#define REMOE_ABI_VERSION 7\n\n${declarations}
#ifdef __cplusplus\n}\n#endif\n`;
}

Deno.test("declarations and their comments become TypeScript", async () => {
  const files = await generateSymbols(readHeader(header(`
/* ---- A section ---- */
/* Slots of a thing. */
enum remoe_thing_slot {
  REMOE_THING_FIRST_ONE = 2, /* what it is,
                              * in two lines */
  REMOE_THING_EXTRA = 4
};
/* Words of a thing. */
REMOE_LAYOUT int64_t remoe_thing_words(int64_t all_tokens) {
  return REMOE_THING_EXTRA + 2 * all_tokens;
}
/* Makes a thing of "a"
 * and \`b\`:
 *   a (+) b
 * as it stands. [required] */
REMOE_API int32_t remoe_thing(uint64_t context, float top_k, const int32_t* layout);
/* Nothing to pass. */
REMOE_API int32_t remoe_nothing(void);
`)));
  assertEquals(
    after("do not edit.", files["lib/ffi/codes.ts"]),
    `
/** The version of the contract that this package calls. */
export const ABI_VERSION = 7;

/** Slots of a thing. */
export const ThingSlot = {
  /** what it is, in two lines */
  firstOne: 2,
  extra: 4,
} as const;
`,
  );
  assertEquals(
    after("do not edit.", files["lib/ffi/layouts.ts"]),
    `
import { ThingSlot } from "./codes.ts";

/** Words of a thing. */
export function thingWords(allTokens: number): number {
  return ThingSlot.extra + 2 * allTokens;
}
`,
  );
  const symbols = files["lib/ffi/symbols.ts"];
  assertEquals(
    before("}", after("export interface KernelSymbols {", symbols)),
    `  /**
   * Makes a thing of "a" and \`b\`:
   *   a (+) b
   * as it stands. [required]
   */
  remoe_thing(context: bigint, topK: number, layout: HostBuffer): number;
  /** Nothing to pass. */
  remoe_nothing(): number;
`,
  );
  assertEquals(
    before("} as const", after("export const SYMBOLS = {", symbols)),
    `  remoe_thing: { parameters: ["u64", "f32", "buffer"], result: "i32" },
  remoe_nothing: { parameters: [], result: "i32", optional: true },
`,
  );
});

function after(mark: string, text = ""): string {
  return text.slice(text.indexOf(mark) + mark.length + 1);
}

function before(mark: string, text: string): string {
  return text.slice(0, text.indexOf(`\n${mark}`) + 1);
}

const REFUSED: Readonly<Record<string, readonly [declaration: string, message: string]>> = {
  "without a comment": [
    "/* Of the section. */\n\nREMOE_API int32_t remoe_a(void);",
    "Line 8: remoe_a has no comment right above it",
  ],
  "of a type that does not cross": [
    "/* A. */\nREMOE_API int32_t remoe_a(size_t n);",
    '"size_t" does not cross FFI; use int32_t,',
  ],
  "with half of the prefixes": [
    "/* A. */\nenum remoe_a_code { REMOE_A_X = 0, REMOE_Y = 1 };",
    "REMOE_Y of remoe_a_code does not start with REMOE_A_",
  ],
  "with a constant that counts on": ["/* A. */\nenum remoe_a_code { REMOE_X };", '"REMOE_X"'],
  "of another kind": ["typedef int remoe_int;", "Line 6 is not a comment"],
  "of a layout in 32 bits": [
    "/* A. */\nREMOE_LAYOUT int64_t remoe_a(int32_t n) { return n; }",
    '"int32_t n" of remoe_a is not an int64_t',
  ],
};

for (const [what, [declaration, message]] of Object.entries(REFUSED)) {
  Deno.test(`a declaration ${what} is refused`, () => {
    assertThrows(() => readHeader(header(declaration)), HeaderError, message);
  });
}

Deno.test("a header without its block or its version is refused", () => {
  assertThrows(() => readHeader("int a;"), HeaderError, 'no extern "C" block');
  const text = header("").replace(/#define.*/, "");
  assertThrows(() => readHeader(text), HeaderError, "REMOE_ABI_VERSION is not defined");
});

Deno.test("a layout of something unknown is refused", async () => {
  const text = header("/* A. */\nREMOE_LAYOUT int64_t remoe_a(int64_t n) { return n + m; }");
  await assertRejects(() => generateSymbols(readHeader(text)), HeaderError, "remoe_a uses m");
});
