import { assert, assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import { type Emulator, missingCompiler, openEmulator, Order, skipped } from "./emulator.ts";
import { barriers, without } from "./mutants.ts";
import { Buffers, dispatchPlan, reluRouter, reluRouterGradient } from "./operations.ts";
import { exactInput, referencePlan, referenceRouter, someGates } from "./reference.ts";

const ignore = missingCompiler !== undefined;

/** More than one block, tile, chunk and patch of each kernel; rows of 16 bytes and others. */
const SHAPES = [[1, 1, 1], [70, 35, 9], [65, 17, 70], [66, 68, 132]] as const;

/** Every kernel. */
function runAll(k: KernelContext): void {
  for (const [tokens, hidden, experts] of SHAPES) {
    const input = exactInput(tokens, hidden, experts);
    const { gates, counts } = reluRouter(k, input);
    const dgates = new Float32Array(gates.length).fill(0.5);
    const common = { tokens, experts, gates, dgates, counts };
    reluRouterGradient(k, { ...common, lambda: 1, balance: 2, active: 1, scale: 1 }, true);
    dispatchPlan(k, gates, tokens, experts, tokens * experts);
    dispatchPlan(k, gates, tokens, experts, 3);
  }
}

/** A plan of more than the 256 chunks of 1024 slots that one round of the second scan takes. */
function planInRounds(k: KernelContext): void {
  const tokens = 256 * 1024;
  dispatchPlan(k, someGates(tokens, 1, 0.01), tokens, 1, tokens);
}

/** The router on a buffer of weights that is as the caller makes it. */
function routeWith(emulator: Emulator, weights: (memory: Buffers) => bigint): number {
  const k = emulator.context;
  using memory = new Buffers(k);
  const input = exactInput(33, 20, 8);
  const [gates, counts, sums] = [memory.empty(33 * 8 * 4), memory.empty(32), memory.empty(32)];
  const [x, w] = [memory.from(input.x), weights(memory)];
  const f = k.symbols.remoe_relu_router_forward;
  k.check(f(k.handle, gates, 0n, counts, sums, x, w, 33, 20, 8), "relu router");
  return k.symbols.remoe_synchronize(k.handle);
}

Deno.test(`the race checker finds nothing wrong with the kernels${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator({ race: true });
  runAll(emulator.context);
  planInRounds(emulator.context);
  assertEquals(await emulator.locatedReports(), []);
});

Deno.test(`the checked build computes what the reference does${skipped}`, { ignore }, async () => {
  using emulator = await openEmulator({ race: true });
  const k = emulator.context;
  const input = exactInput(131, 40, 70);
  for (const order of [Order.forward, Order.priority]) {
    emulator.configure({ order, seed: 9 });
    const routed = reluRouter(k, input);
    assertEquals(routed, referenceRouter(input));
    assertEquals(
      dispatchPlan(k, routed.gates, 131, 70, 131 * 70),
      referencePlan(routed.gates, 131, 70, 131 * 70),
    );
  }
  assertEquals(await emulator.locatedReports(), []);
});

// No barrier is superfluous: each one's absence must show, in a single run in a single order.
for (const barrier of ignore ? [] : await barriers()) {
  const { file, line, text } = barrier;
  Deno.test(`the race checker reports \`${text}\` missing from ${file}:${line}`, async () => {
    using emulator = await openEmulator({ race: true, mutant: await without(barrier) });
    try {
      runAll(emulator.context);
      if (emulator.reports().length === 0) planInRounds(emulator.context);
    } catch (error) {
      // What a race does to an index may end in a fault; the report is there by then.
      if (!(error instanceof DeviceError)) throw error;
    }
    const reports = await emulator.locatedReports();
    assert(reports.some((report) => report.includes("race")), `reports: ${reports.join("\n")}`);
  });
}

Deno.test(`the race checker reports uninitialised input${skipped}`, { ignore }, async () => {
  using emulator = await openEmulator({ race: true });
  routeWith(emulator, (memory) => memory.empty(20 * 8 * 4));
  const [report = ""] = await emulator.locatedReports();
  assert(report.startsWith("uninitialised read in global memory at router_product.h:"), report);
});

Deno.test(`the race checker reports reads past the end of a block${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator({ race: true });
  routeWith(emulator, (memory) => memory.from(new Float32Array(20 * 8 - 1)));
  const [report = ""] = await emulator.locatedReports();
  assert(report.startsWith("out-of-bounds read in global memory at router_product.h:"), report);
});

Deno.test(`a host address given to a kernel is a fault that names the operation${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator({ race: true });
  const host = new Float32Array(20 * 8);
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(host));
  const k = emulator.context;
  const error = assertThrows(
    () => k.check(routeWith(emulator, () => address), "synchronize"),
    DeviceError,
    "an operation enqueued earlier failed on the device: a kernel touches host memory",
  );
  assert(error.message.includes("relu_router_forward"), error.message);
});
