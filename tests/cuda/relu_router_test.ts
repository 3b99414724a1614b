import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { hasCpuLibrary, openCpu, skippedCpu } from "./cpu_library.ts";
import { missingCompiler, openEmulator, Order, skipped } from "./emulator.ts";
import { Buffers, reluRouter, reluRouterGradient } from "./operations.ts";
import { exactInput, normalInput, referenceGradient, referenceRouter } from "./reference.ts";

const ignore = missingCompiler !== undefined;

const SHAPES = [
  [1, 1, 1],
  [31, 17, 3],
  [257, 64, 8],
  [64, 768, 32],
  [257, 17, 33],
  [31, 64, 64],
  [1000, 17, 128],
  [65, 1, 100],
] as const;

Deno.test(`emulated \`relu_router_forward()\` gives the reference's bits${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  for (const [tokens, hidden, experts] of SHAPES) {
    const input = exactInput(tokens, hidden, experts);
    const name = `T=${tokens} D=${hidden} E=${experts}`;
    assertEquals(reluRouter(emulator.context, input), referenceRouter(input), name);
  }
  assertEquals(emulator.reports(), []);
});

Deno.test(`emulated \`relu_router_forward()\` does not depend on the threads' order${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const input = normalInput(131, 33, 40);
  const expected = reluRouter(emulator.context, input);
  for (const order of [Order.reverse, Order.random, Order.priority]) {
    emulator.configure({ order, seed: 5 });
    assertEquals(reluRouter(emulator.context, input), expected, `order ${order}`);
  }
});

Deno.test(
  `emulated \`relu_router_forward()\` agrees with the CPU build${skipped || skippedCpu}`,
  { ignore: ignore || !hasCpuLibrary },
  async () => {
    using emulator = await openEmulator();
    using cpu = openCpu();
    for (const [tokens, hidden, experts] of SHAPES) {
      const input = normalInput(tokens, hidden, experts);
      const [ours, theirs] = [reluRouter(emulator.context, input), reluRouter(cpu, input)];
      ours.gates.forEach((gate, i) => {
        const tolerance = 1e-5 * Math.max(1, Math.abs(theirs.gates[i]!));
        assertAlmostEquals(gate, theirs.gates[i]!, tolerance);
      });
      // A gate within rounding of 0 may be active in one and not in the other.
      const close = ours.gates.filter((gate, i) => (gate > 0) !== (theirs.gates[i]! > 0)).length;
      const differing = ours.counts.reduce((n, c, e) => n + Math.abs(c - theirs.counts[e]!), 0);
      assert(differing <= close, `counts differ by ${differing}, gates near 0: ${close}`);
    }
  },
);

Deno.test(`emulated \`relu_router_forward()\` works without a mask${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const input = exactInput(40, 8, 12);
  using memory = new Buffers(k);
  const counts = memory.empty(12 * 4);
  const [gates, sums] = [memory.empty(40 * 12 * 4), memory.empty(12 * 4)];
  const [x, w] = [memory.from(input.x), memory.from(input.w)];
  const f = k.symbols.remoe_relu_router_forward;
  k.check(f(k.handle, gates, 0n, counts, sums, x, w, 40, 8, 12), "relu router");
  assertEquals(memory.read(counts, new Int32Array(12)), referenceRouter(input).counts);
});

Deno.test(`emulated \`relu_router_gradient()\` adds the regularisation${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  for (const [tokens, , experts] of SHAPES) {
    const { gates, counts } = referenceRouter(exactInput(tokens, 4, experts));
    const dgates = normalInput(tokens, experts, 1).x;
    for (const balance of [0, 1, 2]) {
      const common = { tokens, experts, gates, dgates, counts };
      const input = { ...common, lambda: 0.37, balance, active: 2, scale: 0.25 };
      const expected = referenceGradient(input);
      const inPlace = balance === 2;
      reluRouterGradient(emulator.context, input, inPlace).forEach((value, i) =>
        assertAlmostEquals(value, expected[i]!, 1e-6, `balance ${balance}, element ${i}`)
      );
    }
  }
});

Deno.test(
  `emulated \`relu_router_forward()\` refuses sizes and addresses with a reason${skipped}`,
  {
    ignore,
  },
  async () => {
    using emulator = await openEmulator();
    const k = emulator.context;
    const call = (x: bigint, tokens: number): void =>
      k.check(
        k.symbols.remoe_relu_router_forward(k.handle, 64n, 0n, 64n, 64n, x, 64n, tokens, 1, 1),
        "relu router",
      );
    assertThrows(() => call(0n, 1), DeviceError, "the address of x is 0");
    assertThrows(() => call(64n, 0), DeviceError, "tokens is 0, but at least 1 is needed");
    assertThrows(() => call(66n, 1), DeviceError, "the address of x is not a multiple of 4 bytes");
  },
);
