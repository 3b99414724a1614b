import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { ABI_VERSION } from "../../lib/ffi/codes.ts";
import * as codes from "../../lib/ffi/codes.ts";
import { SYMBOLS } from "../../lib/ffi/symbols.ts";
import { headerConstant, headerEnums, headerFunctions } from "./header.ts";

const SYMBOL_FILES = ["library", "moe", "optimizer", "probe", "stream", "tensor", "transformer"];

Deno.test("`SYMBOLS` has the functions of the header and no others", () => {
  const declared = headerFunctions().map(({ name }) => name).sort();
  assert(declared.length > 60, "the header was not understood");
  assertEquals(Object.keys(SYMBOLS).sort(), declared);
});

for (const { name, result, parameters } of headerFunctions()) {
  Deno.test(`\`SYMBOLS.${name}\` has the types of the header`, () => {
    const symbol: Deno.ForeignFunction = SYMBOLS[name as keyof typeof SYMBOLS];
    assertEquals(symbol.parameters, parameters.map(({ type }) => type) as Deno.NativeType[]);
    assertEquals(symbol.result as string, result);
  });
}

Deno.test("`KernelSymbols` names the parameters as the header does", () => {
  const text = SYMBOL_FILES.map((file) =>
    Deno.readTextFileSync(new URL(`../../lib/ffi/symbols/${file}.ts`, import.meta.url))
  ).join("\n");
  for (const { name, parameters } of headerFunctions()) {
    const list = new RegExp(`^  ${name}\\(([^)]*)\\): number;`, "m").exec(text)?.[1];
    assert(list !== undefined, `${name} has no signature`);
    const named = [...list.matchAll(/(\w+):/g)].map(([, key]) => key);
    assertEquals(named, parameters.map((parameter) => camelCase(parameter.name)), name);
  }
});

Deno.test("no function has more than 24 parameters", () => {
  // With 30 integer parameters Deno aborts the process once it has optimised the call.
  for (const { name, parameters } of headerFunctions()) {
    assertLessOrEqual(parameters.length, 24, name);
  }
});

Deno.test("`ABI_VERSION` is that of the header", () => {
  assertEquals(ABI_VERSION, headerConstant("REMOE_ABI_VERSION"));
});

Deno.test("the codes are those of the header", () => {
  const tables: Record<string, { table: Record<string, number>; prefix: string }> = {
    status: { table: codes.Status, prefix: "REMOE_" },
    dtype: { table: codes.DTypeCode, prefix: "REMOE_" },
    backend: { table: codes.BackendCode, prefix: "REMOE_" },
    state: { table: codes.StateSlot, prefix: "REMOE_STATE_" },
    record: { table: codes.RecordField, prefix: "REMOE_RECORD_" },
    distribution: { table: codes.DistributionCode, prefix: "REMOE_" },
    binary: { table: codes.BinaryCode, prefix: "REMOE_" },
    unary: { table: codes.UnaryCode, prefix: "REMOE_" },
    reduction: { table: codes.ReductionCode, prefix: "REMOE_" },
    balance: { table: codes.BalanceCode, prefix: "REMOE_BALANCE_" },
    tensor: { table: codes.TensorWord, prefix: "REMOE_TENSOR_" },
  };
  const enums = headerEnums();
  assertEquals(Object.keys(tables).sort(), Object.keys(enums).sort());
  for (const [name, { table, prefix }] of Object.entries(tables)) {
    const constants = Object.entries(enums[name] ?? {}).map(([key, value]) =>
      [camelCase(key.slice(prefix.length).toLowerCase()), value] as const
    );
    assertEquals(table, Object.fromEntries(constants), name);
  }
});

function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
