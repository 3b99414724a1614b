import { assert, assertEquals, assertThrows } from "@std/assert";
import { type HeaderFunction, readHeader } from "../../kernels/tools/read_header.ts";
import {
  type KernelContext,
  type KernelSymbols,
  openContext,
  Status,
  statusName,
} from "../../lib/ffi/mod.ts";

// Deno optimises a call site after a few thousand calls; only then does a mistake in a symbol's
// types, or too many parameters, abort the process.
const CALLS = 20_000;

/** These take no context, or return bytes instead of a status. */
const WITHOUT_STATUS = new Set([
  "remoe_abi_version",
  "remoe_build_info",
  "remoe_context_message",
  "remoe_context_info",
]);

Deno.test("every symbol refuses an invalid context, even once the call is optimised", async () => {
  const { context } = await openContext();
  using _ = context;
  for (const declaration of readHeader().functions) {
    const status = callOften(context.symbols, declaration, "0n");
    const { name } = declaration;
    if (WITHOUT_STATUS.has(name)) continue;
    const expected = isMissing(name, context)
      ? Status.unsupported
      : name === "remoe_context_create"
      ? Status.invalidArgument
      : Status.invalidContext;
    assertEquals(statusName(status), statusName(expected), name);
  }
});

for (const size of [0, 1] as const) {
  Deno.test(`every symbol refuses null addresses with sizes of ${size}`, async () => {
    const { context } = await openContext();
    using _ = context;
    for (const declaration of readHeader().functions) {
      const { name } = declaration;
      if (name === "remoe_context_destroy") continue;
      const status = callOften(context.symbols, declaration, `${context.handle}n`, size, 100);
      if (WITHOUT_STATUS.has(name)) continue;
      assert(Object.values(Status).some((code) => code === status), `${name} returned ${status}`);
      if (!mustRefuse(declaration, context, size)) continue;
      assert(
        status === Status.invalidArgument || (size === 1 && status === Status.unsupported),
        `${name}: ${statusName(status)}`,
      );
      assert(hasMessage(context), `${name} left no message`);
    }
  });
}

/** Values that the C types cannot hold; for the first, optimised calls pass 7, 1, 0 and -2³¹. */
const NO_INT32 = [2 ** 32 + 7, 1.5, NaN, 2 ** 31, undefined, "1", 1n];

Deno.test("a number that its C type cannot hold is refused, even once the call is optimised", async () => {
  const { context } = await openContext();
  using _ = context;
  const { symbols, handle } = context;
  // A few values of mixed types: the call site is optimised for any of them.
  for (let i = 0; i < 20 * CALLS; i++) {
    const wrong = i % 50 === 0;
    const tokens = wrong ? NO_INT32[i / 50 % NO_INT32.length] : i % 1000;
    let refusal: unknown = null;
    try {
      symbols.remoe_dispatch_plan(0n, 0n, 0n, tokens as number, 1, 1);
    } catch (error) {
      refusal = error;
    }
    if (!wrong) assertEquals(refusal, null, `${tokens}`);
    else assert(refusal instanceof RangeError, `call ${i}: ${tokens} as i32 gave ${refusal}`);
  }
  for (const count of [-1n, 2n ** 64n, 1.5, NaN, undefined]) {
    assertThrows(
      () => symbols.remoe_fill(handle, 0, 0n, 0, count as bigint),
      RangeError,
      "Cannot call remoe_fill: argument 5 of 5",
    );
  }
  assertThrows(
    () => symbols.remoe_fill(handle, 0, 0n, undefined as unknown as number, 1n),
    RangeError,
    "argument 4 of 5 is undefined, expected a number",
  );
});

/** Calls a symbol from its own call site, so that it is optimised as in real use. */
function callOften(
  symbols: KernelSymbols,
  { name, parameters }: HeaderFunction,
  context: string,
  size = 0,
  calls = CALLS,
): number {
  const list = parameters.map((parameter) => {
    const { type } = parameter;
    if (type === "buffer") return "null";
    if (type !== "u64") return String(size);
    if (parameter.name === "context") return context;
    return SIZES.has(parameter.name) ? `${size}n` : "0n";
  });
  const loop = new Function(
    "symbols",
    `let status = 0;
     for (let i = 0; i < ${calls}; i++) status = symbols.${name}(${list.join(", ")});
     return status;`,
  ) as (symbols: KernelSymbols) => number;
  return loop(symbols);
}

/** Whether null must be refused: there is an address, and the build has the function. */
function mustRefuse(
  { name, parameters }: HeaderFunction,
  context: KernelContext,
  size: 0 | 1,
): boolean {
  if (isMissing(name, context) || NULL_IS_ALLOWED.has(name)) return false;
  if (size === 0 && NOTHING_IS_ALLOWED.test(name)) return false;
  return parameters.some((parameter) =>
    parameter.type === "buffer" || (parameter.type === "u64" && !SIZES.has(parameter.name) &&
      parameter.name !== "context")
  );
}

/** 64-bit parameters that are not addresses. */
const SIZES: ReadonlySet<string> = new Set(["bytes", "count", "length", "seed"]);

/**
 * Stream 0 is the first stream and graph 0 the empty one; a context that cannot be created has
 * nowhere to store a message.
 */
const NULL_IS_ALLOWED: ReadonlySet<string> = new Set([
  "remoe_stream_use",
  "remoe_stream_synchronize",
  "remoe_graph_destroy",
  "remoe_context_create",
]);

/** Copying no bytes and freeing no blocks are no-ops. */
const NOTHING_IS_ALLOWED = /^remoe_(copy|copy_(from|to)_\w+|pinned_(write|read)|memory_free)$/;

function isMissing(name: string, context: KernelContext): boolean {
  return context.library.missing.some((symbol) => symbol === name);
}

/** Whether the last call left a message; reading clears it. */
function hasMessage({ symbols, handle }: KernelContext): boolean {
  return symbols.remoe_context_message(handle, new Uint8Array(512), 512n) > 0;
}
