import { assertEquals, assertThrows } from "@std/assert";
import { inputsOf } from "../../kernels/cases/case.ts";
import { assertMatchesReference } from "../../kernels/cases/check.ts";
import { dispatchPlanCase } from "../../kernels/cases/dispatch_plan.ts";
import { runCase } from "../../kernels/cases/placed_case.ts";
import { reluRouterCase } from "../../kernels/cases/relu_router.ts";
import { routingMaskCase } from "../../kernels/cases/routing_mask.ts";
import { DeviceError } from "../../lib/errors.ts";
import { missingCompiler, openEmulator, Order, skipped } from "./emulator.ts";

const ignore = missingCompiler !== undefined;

for (
  const each of [
    reluRouterCase({ tokens: 131, hidden: 33, experts: 40 }),
    routingMaskCase({ tokens: 300, experts: 70, density: 0.25 }),
    dispatchPlanCase({ tokens: 300, experts: 70, density: 0.25 }),
  ]
) {
  Deno.test(`emulated \`${each.operation}()\` does not depend on the threads' order${skipped}`, {
    ignore,
  }, async () => {
    using emulator = await openEmulator();
    const run = () => runCase(emulator.context, each, inputsOf(each));
    const expected = run();
    for (const order of [Order.reverse, Order.random, Order.priority]) {
      emulator.configure({ order, seed: 5 });
      assertEquals(run(), expected, `order ${order}`);
    }
  });
}

Deno.test(`emulated \`dispatch_plan()\` scans over many chunks${skipped}`, { ignore }, async () => {
  using emulator = await openEmulator();
  // 2 * 262144 / 32 slots of expert rows and 262144 of tokens: more chunks than one block scans in
  // one round.
  const plan = dispatchPlanCase({ tokens: 262_144 + 5, experts: 2, density: 0.5 });
  assertMatchesReference(emulator.context, plan);
});

Deno.test(`emulated operations refuse sizes and addresses with a reason${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const { remoe_relu_router_forward, remoe_dispatch_plan } = k.symbols;
  const route = (x: bigint, tokens: number): void =>
    k.check(
      remoe_relu_router_forward(k.handle, 0, 64n, 64n, 64n, 64n, x, 64n, tokens, 1, 1, 0),
      "relu router",
    );
  assertThrows(() => route(0n, 1), DeviceError, "the address of x is 0");
  assertThrows(() => route(64n, 0), DeviceError, "tokens is 0, but at least 1 is needed");
  assertThrows(() => route(66n, 1), DeviceError, "the address of x is not a multiple of 4 bytes");
  const status = remoe_dispatch_plan(k.handle, 64n, 64n, 1 << 20, 1 << 12, 1);
  assertThrows(() => k.check(status, "dispatch plan"), DeviceError, "split the tokens");
});
