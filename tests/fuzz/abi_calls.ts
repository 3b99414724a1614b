/**
 * Calls every function of a kernel library with partly wrong arguments: `deno run -A abi_calls.ts
 * SEED RUNS FILE`. It runs as a separate process, since a crash in a library ends it; FILE then
 * holds the offending call.
 *
 * It passes only errors that the contract promises to detect: null addresses, sizes below 1,
 * unknown codes, invalid handles. Plausible but wrong addresses and sizes are not among them.
 *
 * @module
 */

import * as fc from "fast-check";
import { Status, type SymbolName } from "../../lib/ffi/mod.ts";
import { SYMBOLS } from "../../lib/ffi/symbols.ts";
import { openKernels } from "../kernels/open_library.ts";
import { type ArgumentValue, VALID_CALLS } from "../kernels/valid_calls.ts";
import { placeArguments } from "../kernels/place_arguments.ts";

type Value = ArgumentValue | Uint8Array<ArrayBuffer>;

const below1 = fc.oneof(
  fc.constantFrom(0, -1, -(2 ** 31)),
  fc.integer({ min: -(2 ** 31), max: 0 }),
);
const noCode = fc.oneof(
  fc.constantFrom(-1, 99, 2 ** 31 - 1, -(2 ** 31)),
  fc.integer({ min: 100, max: 2 ** 31 - 1 }),
  fc.integer({ min: -(2 ** 31), max: -1 }),
);
const oddNumber = fc.constantFrom(NaN, Infinity, -Infinity, -1, -0, 1e308, 5e-324);
const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const ranks = fc.constantFrom(-(2 ** 31), -1, 9, 1000, 2 ** 31 - 1);

/** A wrong value for an argument of a valid call, and whether the contract requires refusing it. */
function wrongValue(
  valid: ArgumentValue | "address",
  wrong: readonly ArgumentValue[],
  type: string,
): fc.Arbitrary<{ value: Value; refused: boolean }> {
  const listed = wrong.length > 0
    ? [fc.constantFrom(...wrong).map((value) => ({ value, refused: true }))]
    : [];
  const isSize = type === "i32" && wrong.includes(0) && wrong.includes(-1);
  const isCode = type === "i32" && wrong.includes(99);
  const more: fc.Arbitrary<{ value: Value; refused: boolean }>[] = [];
  if (isSize) more.push(below1.map((value) => ({ value, refused: true })));
  if (isCode) more.push(noCode.map((value) => ({ value, refused: true })));
  if (valid instanceof Int32Array) {
    more.push(
      ranks.map((rank) => ({
        value: Int32Array.of(rank, ...new Array(32).fill(1)),
        refused: true,
      })),
      below1.map((size) => ({ value: Int32Array.of(2, 3, size, 0, 0, 0, 0), refused: true })),
    );
  }
  if (type === "f64" || type === "f32") {
    more.push(oddNumber.map((value) => ({ value, refused: false })));
  }
  // An optional address.
  if (valid === "address") more.push(fc.constant({ value: 0n, refused: wrong.includes(0n) }));
  return listed.length + more.length === 0
    ? fc.constant({ value: valid as Value, refused: false })
    : fc.oneof(...listed, ...more);
}

/** Non-computing functions: what may be passed for each parameter after the context. */
const HANDLES: Readonly<Partial<Record<SymbolName, readonly fc.Arbitrary<Value>[]>>> = {
  remoe_memory_allocate: [
    fc.constantFrom(2n ** 48n, 2n ** 63n, 2n ** 64n - 1n),
    fc.constantFrom<Value>(null, new Uint8Array(8)),
  ],
  remoe_memory_free: [
    word.map((address) => new Uint8Array(BigUint64Array.of(address, 0n).buffer)),
    fc.constantFrom(1, 0, -1, -(2 ** 31)),
  ],
  remoe_memory_statistics: [fc.constantFrom<Value>(null)],
  remoe_context_message: [fc.constant(null), fc.constantFrom(0n)],
  remoe_context_info: [fc.constant(null), fc.constantFrom(0n)],
  remoe_pinned_allocate: [
    fc.constantFrom(2n ** 63n, 2n ** 64n - 1n),
    fc.constantFrom<Value>(null, new Uint8Array(8)),
  ],
  remoe_pinned_free: [word],
  remoe_copy_from_host: [fc.constant(0n), fc.constant(new Uint8Array(8)), fc.constant(8n)],
  remoe_copy_to_host: [fc.constant(new Uint8Array(8)), fc.constant(0n), fc.constant(8n)],
  remoe_pinned_write: [fc.constant(0n), fc.constant(new Uint8Array(8)), fc.constant(8n)],
  remoe_pinned_read: [fc.constant(new Uint8Array(8)), fc.constant(0n), fc.constant(8n)],
  remoe_copy_from_pinned: [fc.constant(0n), fc.constant(0n), fc.constant(8n)],
  remoe_copy_to_pinned: [fc.constant(0n), fc.constant(0n), fc.constant(8n)],
  remoe_stream_create: [fc.constant(null)],
  remoe_stream_destroy: [word],
  remoe_stream_use: [word],
  remoe_stream_synchronize: [word],
  remoe_event_create: [fc.constant(null)],
  remoe_event_destroy: [word],
  remoe_event_record: [word],
  remoe_event_wait: [word],
  remoe_event_synchronize: [word],
  remoe_event_elapsed: [word, word, fc.constantFrom<Value>(null, new Uint8Array(8))],
  remoe_capture_end: [fc.constant(null)],
  remoe_graph_launch: [word],
  remoe_graph_destroy: [word],
  remoe_scratch_bytes: [
    fc.oneof(noCode, fc.constantFrom(0, 1)),
    fc.oneof(noCode, fc.constantFrom(0, 1)),
    fc.oneof(fc.constant(null), below1.map((size) => new Int32Array(6).fill(size))),
    fc.constantFrom<Value>(null, new Uint8Array(8)),
  ],
  remoe_probe_fma: [
    fc.oneof(noCode, fc.constantFrom(0, 1)),
    fc.constantFrom(-1, 0, 2 ** 31 - 1, -(2 ** 31)),
    fc.constantFrom(-1, NaN, -Infinity),
    fc.constantFrom<Value>(null, new Uint8Array(8)),
  ],
  remoe_probe_copy: [
    fc.constantFrom(0n, 2n ** 63n, 2n ** 64n - 1n),
    fc.constantFrom(-1, NaN, -Infinity),
    fc.constantFrom<Value>(null, new Uint8Array(8)),
  ],
};

/**
 * Functions that cannot be called wrongly, and those that tests/ffi calls with every wrong
 * argument.
 */
export const NOT_CALLED: readonly SymbolName[] = [
  "remoe_abi_version",
  "remoe_build_info",
  "remoe_context_create",
  "remoe_context_destroy",
  "remoe_memory_reset_peak",
  "remoe_memory_trim",
  "remoe_synchronize",
  "remoe_capture_begin",
];

/** Every function that is called. */
export const CALLED: readonly SymbolName[] = [
  ...Object.keys(VALID_CALLS),
  ...Object.keys(HANDLES),
] as SymbolName[];

function show(symbol: string, values: readonly Value[]): string {
  const shown = values.map((value) => ArrayBuffer.isView(value) ? `[${value}]` : String(value));
  return `${symbol}(${shown.join(", ")})`;
}

function run(seed: number, runs: number, path: string): void {
  using kernels = openKernels({ threads: 2 });
  using last = Deno.openSync(path, { write: true, create: true });
  const call = (symbol: SymbolName, values: readonly Value[], context = kernels.handle): number => {
    // Written before the call: nothing else survives a call that ends the process.
    last.truncateSync();
    last.seekSync(0, Deno.SeekMode.Start);
    last.writeSync(new TextEncoder().encode(show(symbol, values)));
    return (kernels.symbols[symbol] as (...values: unknown[]) => number)(context, ...values);
  };
  const expect = (holds: boolean, what: string): void => {
    if (!holds) throw new Error(what);
  };
  const options = { seed, numRuns: runs, endOnFailure: true };
  for (const [name, parameters] of Object.entries(VALID_CALLS)) {
    const symbol = name as SymbolName;
    if (kernels.library.missing.includes(symbol)) continue;
    const { values, blocks } = placeArguments(kernels, parameters);
    const types = SYMBOLS[symbol].parameters.slice(1) as readonly string[];
    const names = Object.keys(parameters);
    const changes = fc.record(Object.fromEntries(names.map((name, i) => [
      name,
      fc.option(wrongValue(parameters[name]!.valid, parameters[name]!.wrong, types[i]!), {
        freq: 3,
        nil: null,
      }),
    ])));
    fc.assert(
      fc.property(changes, word, (changed, handle) => {
        const wrong = names.map((name): Value => {
          const change = changed[name];
          return change ? change.value : values[name]!;
        });
        const status = call(symbol, wrong);
        const isRefused = Object.values(changed).some((change) => change?.refused);
        if (isRefused) expect(status === Status.invalidArgument, `status ${status}, expected 1`);
        else expect(status >= 0 && status <= Status.internal, `status ${status}`);
        if (handle !== kernels.handle) {
          expect(call(symbol, wrong, handle) === Status.invalidContext, "a handle that is none");
        }
      }),
      options,
    );
    // Odd numbers may have left anything in the blocks, so a fresh call shows that the library
    // works.
    kernels.free(blocks);
    const fresh = placeArguments(kernels, parameters);
    expect(call(symbol, Object.values(fresh.values)) === Status.ok, "the valid call afterwards");
    kernels.free(fresh.blocks);
  }
  for (const [name, parameters] of Object.entries(HANDLES)) {
    const symbol = name as SymbolName;
    if (kernels.library.missing.includes(symbol)) continue;
    fc.assert(
      fc.property(fc.tuple(...parameters), word, (values, handle) => {
        const status = call(symbol, values);
        expect(status >= 0 && status <= 2 ** 20, `status ${status}`);
        if (handle !== kernels.handle) call(symbol, values, handle);
      }),
      options,
    );
  }
  expect(kernels.statistics().blocks === 0, "blocks are left");
}

if (import.meta.main) run(Number(Deno.args[0]), Number(Deno.args[1]), Deno.args[2]!);
