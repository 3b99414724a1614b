import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { type KernelContext, Status, type SymbolName, TensorWord } from "../../lib/ffi/mod.ts";
import { KERNEL_CASES } from "../cases/mod.ts";
import { headerFunctions } from "../ffi/header.ts";
import { openKernels } from "./open_library.ts";
import { type Argument, type ArgumentValue, VALID_CALLS } from "./valid_calls.ts";

/** Room for any argument of a tiny call. */
const BLOCK_BYTES = 65_536;

const CALLS = Object.entries(VALID_CALLS) as [SymbolName, Readonly<Record<string, Argument>>][];

Deno.test("there is a valid call of every computing function", () => {
  const computing = new Set(KERNEL_CASES.flatMap(({ symbols }) => symbols));
  assertEquals(CALLS.map(([symbol]) => symbol).sort(), [...computing].sort());
});

for (const [symbol, parameters] of CALLS) {
  Deno.test(`\`${symbol}()\` names the argument that it refuses`, async (t) => {
    const declared = headerFunctions().find(({ name }) => name === symbol);
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

type Values = Readonly<Record<string, ArgumentValue>>;

function call(
  kernels: KernelContext,
  symbol: SymbolName,
  values: Values,
  context?: bigint,
): number {
  const kernel = kernels.symbols[symbol] as (...values: ArgumentValue[]) => number;
  return kernel(context ?? kernels.handle, ...Object.values(values));
}

/** Allocates and fills what every address stands for. */
function placeArguments(
  kernels: KernelContext,
  parameters: Readonly<Record<string, Argument>>,
): { values: Values; blocks: bigint[] } {
  const blocks: bigint[] = [];
  const entries = Object.entries(parameters).map(([name, { valid }]) => {
    if (valid !== "address") return [name, valid] as const;
    const block = kernels.allocate(BLOCK_BYTES);
    blocks.push(block);
    kernels.writeBytes(block, contentOf(name, block, parameters));
    return [name, block] as const;
  });
  return { values: Object.fromEntries(entries), blocks };
}

/** Zeros, but ones in the step state, whose bias corrections divide, and a table where one is due. */
function contentOf(
  name: string,
  block: bigint,
  parameters: Readonly<Record<string, Argument>>,
): Uint8Array<ArrayBuffer> {
  if (name === "state") return new Uint8Array(new Float64Array(BLOCK_BYTES / 8).fill(1).buffer);
  // The embedding's table is another one.
  return name === "table" && "state" in parameters ? tableOf(block) : new Uint8Array(BLOCK_BYTES);
}

/** A table of one parameter of one element, whose tensors lie behind the table itself. */
function tableOf(block: bigint): Uint8Array<ArrayBuffer> {
  const words = new BigUint64Array(BLOCK_BYTES / 8);
  const { master, gradient, moment1, moment2, elements } = TensorWord;
  for (const [i, word] of [master, gradient, moment1, moment2].entries()) {
    words[word] = block + BigInt(1024 * (i + 1));
  }
  words[elements] = 1n;
  return new Uint8Array(words.buffer);
}
