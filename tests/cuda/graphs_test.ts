import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { inputsOf, type KernelCase } from "../../kernels/cases/case.ts";
import { dispatchPlanCase } from "../../kernels/cases/dispatch_plan.ts";
import { PlacedCase } from "../../kernels/cases/placed_case.ts";
import { reduceCase } from "../../kernels/cases/reduction.ts";
import { reluRouterCase } from "../../kernels/cases/relu_router.ts";
import { DeviceError } from "../../lib/errors.ts";
import {
  DTypeCode,
  type KernelContext,
  ReductionCode,
  stateRecord,
  StateSlot,
} from "../../lib/ffi/mod.ts";
import { Buffers } from "./buffers.ts";
import { missingCompiler, openEmulator, skipped } from "./emulator.ts";

const ignore = missingCompiler !== undefined;

/** Captures calls, whose scratch memory is in the pool because they have run before. */
function capture(k: KernelContext, calls: () => void): bigint {
  calls();
  k.check(k.symbols.remoe_synchronize(k.handle), "synchronize");
  k.check(k.symbols.remoe_capture_begin(k.handle), "begin");
  calls();
  return end(k);
}

function end(k: KernelContext): bigint {
  const out = new BigUint64Array(1);
  k.check(k.symbols.remoe_capture_end(k.handle, out), "end");
  assertNotEquals(out[0], 0n);
  return out[0]!;
}

function launch(k: KernelContext, graph: bigint): void {
  k.check(k.symbols.remoe_graph_launch(k.handle, graph), "launch");
}

function destroy(k: KernelContext, graph: bigint): void {
  k.check(k.symbols.remoe_graph_destroy(k.handle, graph), "destroy");
}

/** Overwrites what a case has computed. */
function poisonOutputs(k: KernelContext, each: KernelCase, placed: PlacedCase): void {
  for (const [name, { shape }] of Object.entries(each.outputs)) {
    const elements = shape.reduce((product, size) => product * size, 1);
    k.writeBytes(placed.address(name), new Uint8Array(4 * elements).fill(0xff));
  }
}

/** Operations with scratch memory and several kernels. */
const CASES: readonly KernelCase[] = [
  reluRouterCase({ tokens: 100, hidden: 20, experts: 36 }),
  dispatchPlanCase({ tokens: 100, experts: 36, density: 0.5 }),
  reduceCase("sum", [20_000], [0]),
];

for (const race of [false, true]) {
  const build = race ? " under the checker" : "";
  Deno.test(`an emulated graph gives the bits of direct calls${build}${skipped}`, {
    ignore,
  }, async () => {
    using emulator = await openEmulator({ race });
    emulator.configure({ deferred: true, seed: 3 });
    const k = emulator.context;
    for (const each of CASES) {
      const inputs = inputsOf(each);
      using direct = new PlacedCase(k, each, inputs);
      direct.call();
      using captured = new PlacedCase(k, each, inputs);
      const graph = capture(k, () => captured.call());
      for (let i = 0; i < 2; i++) {
        poisonOutputs(k, each, captured);
        launch(k, graph);
        assertEquals(captured.read(), direct.read(), each.name);
      }
      destroy(k, graph);
    }
    assertEquals(await emulator.locatedReports(), []);
  });
}

Deno.test(`an emulated graph reads the step's values from the device${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  emulator.configure({ deferred: true, seed: 8 });
  const k = emulator.context;
  using memory = new Buffers(k);
  const state = memory.from(new Float64Array(stateRecord(1, 1)));
  const value = memory.from(Float32Array.of(0));
  const graph = capture(k, () => {
    k.check(k.symbols.remoe_state_add(k.handle, state, StateSlot.loss, value, 0.5), "add");
  });
  for (const each of [1, 10, 100]) {
    k.writeBytes(value, new Uint8Array(Float32Array.of(each).buffer));
    launch(k, graph);
  }
  const result = memory.read(state, new Float64Array(stateRecord(1, 1)));
  assertEquals(result[StateSlot.loss], 55.5);
  destroy(k, graph);
});

Deno.test(`an emulated graph keeps the memory of its capture until it is destroyed${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const bytes = 4096;
  let address = 0n;
  const graph = capture(k, () => {
    address = k.allocate(bytes);
    k.check(k.symbols.remoe_fill(k.handle, DTypeCode.f32, address, 3, 1024n), "fill");
    k.free([address]);
    const again = k.allocate(bytes);
    assertEquals(again, address, "a capture reuses the blocks freed in it");
    k.free([again]);
  });
  const other = k.allocate(bytes);
  assertNotEquals(other, address, "the graph still writes the block");
  k.check(k.symbols.remoe_fill(k.handle, DTypeCode.f32, other, 7, 1024n), "fill");
  launch(k, graph);
  const values = new Float32Array(1024);
  k.readBytes(other, new Uint8Array(values.buffer));
  assertEquals(values, new Float32Array(1024).fill(7));
  assertEquals(k.statistics().blocks, 1);
  destroy(k, graph);
  assertEquals(k.allocate(bytes), address);
});

Deno.test(`an emulated capture refuses what a graph cannot repeat${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const f = k.symbols;
  using memory = new Buffers(k);
  const target = memory.from(new Float32Array(16));
  const out = new BigUint64Array(1);
  k.check(f.remoe_stream_create(k.handle, out), "stream");
  const stream = out[0]!;
  k.check(f.remoe_event_create(k.handle, out), "event");
  const event = out[0]!;
  const bytes = new Uint8Array(64);
  const refused: readonly [call: () => number, why: string][] = [
    [() => f.remoe_copy_from_host(k.handle, target, bytes, 64n), "copy from pinned memory"],
    [() => f.remoe_copy_to_host(k.handle, bytes, target, 64n), "nothing can wait for its work"],
    [() => f.remoe_synchronize(k.handle), "nothing can wait for its work"],
    [() => f.remoe_memory_trim(k.handle), "nothing can wait for its work"],
    [() => f.remoe_stream_use(k.handle, stream), "it has a single stream"],
    [() => f.remoe_event_record(k.handle, event), "it has no events"],
    [() => f.remoe_event_wait(k.handle, event), "it has no events"],
    [() => f.remoe_memory_allocate(k.handle, 2n ** 24n, out), "no free block of 16777216 bytes"],
    [() => f.remoe_capture_begin(k.handle), "a capture has already begun"],
  ];
  for (const [call, why] of refused) {
    k.check(f.remoe_capture_begin(k.handle), "begin");
    assertThrows(() => k.check(call(), "refused"), DeviceError, why);
    const status = f.remoe_capture_end(k.handle, out);
    assertThrows(() => k.check(status, "end"), DeviceError, "so nothing was captured");
  }
  k.check(f.remoe_fill(k.handle, DTypeCode.f32, target, 1, 16n), "fill");
  assertEquals(memory.read(target, new Float32Array(16)), new Float32Array(16).fill(1));
});

Deno.test(`emulated graphs are launched where they were captured, while they exist${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const f = k.symbols;
  using memory = new Buffers(k);
  const target = memory.from(new Float32Array(16));
  const launched = (graph: bigint) => () =>
    k.check(f.remoe_graph_launch(k.handle, graph), "launch");
  assertThrows(launched(0n), DeviceError, "there is no graph 0x0");
  assertThrows(
    () => k.check(f.remoe_capture_end(k.handle, new BigUint64Array(1)), "end"),
    DeviceError,
    "no capture has begun",
  );
  const graph = capture(k, () => {
    k.check(f.remoe_fill(k.handle, DTypeCode.f32, target, 2, 16n), "fill");
  });
  const out = new BigUint64Array(1);
  k.check(f.remoe_stream_create(k.handle, out), "stream");
  k.check(f.remoe_stream_use(k.handle, out[0]!), "use");
  assertThrows(launched(graph), DeviceError, "was captured on another stream");
  k.check(f.remoe_stream_use(k.handle, 0n), "use");
  destroy(k, graph);
  assertThrows(launched(graph), DeviceError, "there is no graph");
  assert(k.statistics().blocks >= 1);
});

Deno.test(`an emulated context closes during a capture and with graphs${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const count = 20_000;
  const [x, sum] = [k.allocate(4 * count), k.allocate(4)];
  k.writeBytes(x, new Uint8Array(4 * count));
  const { handle, symbols } = k;
  const layout = Int32Array.of(1, count, 1);
  const reduce = (): void =>
    k.check(
      symbols.remoe_reduce(handle, ReductionCode.sum, DTypeCode.f32, sum, x, layout, 0),
      "reduce",
    );
  capture(k, reduce);
  k.check(symbols.remoe_capture_begin(handle), "begin");
  reduce();
  k.close();
  assertEquals(emulator.reports(), []);
});
