import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { readHeader } from "../../kernels/tools/read_header.ts";
import { DeviceError } from "../../lib/errors.ts";
import { type KernelContext, Status, type SymbolName } from "../../lib/ffi/mod.ts";
import { KERNEL_CASES } from "../../kernels/cases/mod.ts";
import { openKernels } from "./open_library.ts";
import { placeArguments, type Values } from "./place_arguments.ts";
import { type Argument, type ArgumentValue, VALID_CALLS } from "./valid_calls.ts";

const CALLS = Object.entries(VALID_CALLS) as [SymbolName, Readonly<Record<string, Argument>>][];

Deno.test("every computing function has a valid call", () => {
  const computing = new Set(KERNEL_CASES.flatMap(({ symbols }) => symbols));
  assertEquals(CALLS.map(([symbol]) => symbol).sort(), [...computing].sort());
});

for (const [symbol, parameters] of CALLS) {
  Deno.test(`\`${symbol}()\` names the argument that it refuses`, async (t) => {
    const declared = readHeader().functions.find(({ name }) => name === symbol);
    assertEquals(["context", ...Object.keys(parameters)], declared?.parameters.map((p) => p.name));
    using kernels = openKernels();
    if (kernels.library.missing.includes(symbol)) {
      await t.step({ name: "not in this library", ignore: true, fn: () => {} });
      return;
    }
    const { values, blocks } = placeArguments(kernels, parameters);
    assertEquals(call(kernels, symbol, values), Status.ok, "the valid call");
    for (const [name, { wrong, alias }] of Object.entries(parameters)) {
      for (const value of wrong) {
        await t.step(`${name} = ${value}`, () => {
          assertEquals(call(kernels, symbol, { ...values, [name]: value }), Status.invalidArgument);
          const { message } = assertThrows(
            () => kernels.check(Status.invalidArgument, symbol),
            DeviceError,
          );
          const named = `\\b(${alias === undefined ? name : `${name}|${alias}`})\\b`;
          assertMatch(message, new RegExp(`\\b${symbol.slice("remoe_".length)}: .*${named}`, "i"));
        });
      }
    }
    assertEquals(call(kernels, symbol, values), Status.ok, "the valid call afterwards");
    assertEquals(call(kernels, symbol, values, 0n), Status.invalidContext);
    kernels.free(blocks);
    assertEquals(kernels.statistics().blocks, 0);
  });
}

function call(
  kernels: KernelContext,
  symbol: SymbolName,
  values: Values,
  context?: bigint,
): number {
  const kernel = kernels.symbols[symbol] as (...values: ArgumentValue[]) => number;
  return kernel(context ?? kernels.handle, ...Object.values(values));
}
