import { assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { PlanWord } from "../../lib/ffi/mod.ts";
import { hasCpuLibrary, openCpu, skippedCpu } from "./cpu_library.ts";
import { missingCompiler, openEmulator, Order, skipped } from "./emulator.ts";
import { dispatchPlan } from "./operations.ts";
import { referencePlan, someGates } from "./reference.ts";

const ignore = missingCompiler !== undefined;

interface PlanCase {
  readonly tokens: number;
  readonly experts: number;
  readonly gates: Float32Array<ArrayBuffer>;
  readonly capacity: number;
}

function planCase(tokens: number, experts: number, share: number, capacity?: number): PlanCase {
  const gates = someGates(tokens, experts, share);
  return { tokens, experts, gates, capacity: capacity ?? tokens * experts };
}

/** Odd shapes; nothing and everything routed; the last row that fits and the first that does not. */
function planCases(): PlanCase[] {
  const cases = [1, 31, 257, 1000].flatMap((tokens) =>
    [1, 3, 8, 33, 64, 128].map((experts) => planCase(tokens, experts, 0.3))
  );
  const full = new Float32Array(100 * 40).fill(0.5);
  const rows = referencePlan(someGates(257, 33, 0.2), 257, 33, 257 * 33).header[PlanWord.rows]!;
  return [
    ...cases,
    planCase(70, 40, 0),
    { tokens: 100, experts: 40, gates: full, capacity: 4000 },
    planCase(257, 33, 0.2, rows),
    planCase(257, 33, 0.2, rows - 1),
    planCase(257, 33, 0.2, 1),
  ];
}

Deno.test(`emulated \`dispatch_plan()\` gives the reference's integers${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  for (const { gates, tokens, experts, capacity } of planCases()) {
    assertEquals(
      dispatchPlan(emulator.context, gates, tokens, experts, capacity),
      referencePlan(gates, tokens, experts, capacity),
      `T=${tokens} E=${experts} C=${capacity}`,
    );
  }
  assertEquals(emulator.reports(), []);
});

Deno.test(
  `emulated \`dispatch_plan()\` gives the integers of the CPU build${skipped || skippedCpu}`,
  { ignore: ignore || !hasCpuLibrary },
  async () => {
    using emulator = await openEmulator();
    using cpu = openCpu();
    for (const { gates, tokens, experts, capacity } of planCases()) {
      assertEquals(
        dispatchPlan(emulator.context, gates, tokens, experts, capacity),
        dispatchPlan(cpu, gates, tokens, experts, capacity),
        `T=${tokens} E=${experts} C=${capacity}`,
      );
    }
  },
);

Deno.test(`emulated \`dispatch_plan()\` scans over many chunks${skipped}`, { ignore }, async () => {
  using emulator = await openEmulator();
  // 2 * 262144 / 32 slots of expert rows and 262144 of tokens: more chunks than one block scans
  // in a round.
  const [tokens, experts] = [262_144 + 5, 2];
  const gates = someGates(tokens, experts, 0.5);
  const capacity = tokens * experts;
  assertEquals(
    dispatchPlan(emulator.context, gates, tokens, experts, capacity),
    referencePlan(gates, tokens, experts, capacity),
  );
});

Deno.test(`emulated \`dispatch_plan()\` does not depend on the threads' order${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const { gates, tokens, experts, capacity } = planCase(300, 70, 0.25);
  const expected = referencePlan(gates, tokens, experts, capacity);
  for (const order of [Order.reverse, Order.random, Order.priority]) {
    emulator.configure({ order, seed: 3 });
    assertEquals(
      dispatchPlan(emulator.context, gates, tokens, experts, capacity),
      expected,
      `order ${order}`,
    );
  }
});

Deno.test(`emulated \`dispatch_plan()\` refuses more pairs than rows can count${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const status = k.symbols.remoe_dispatch_plan(k.handle, 64n, 64n, 1 << 20, 1 << 12, 1);
  assertThrows(() => k.check(status, "dispatch plan"), DeviceError, "split the tokens");
});
