import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  checkGradient,
  type Device,
  MoE,
  read,
  type Router,
  type Routing,
  routingOf,
  ShapeMismatchError,
  type Tensor,
  TopKRouter,
  write,
} from "../../mod.ts";
import { assertMatchesReference } from "../../kernels/cases/check.ts";
import { dispatchPlanCase } from "../../kernels/cases/dispatch_plan.ts";
import { openContext } from "../../lib/ffi/mod.ts";
import { openDevice } from "../tensor/open_device.ts";

type Matrix = Tensor<"f32", readonly [number, number]>;

/** A layer of three experts whose routing is as given. */
function layerBy(device: Device, route: (x: Matrix) => Routing): MoE {
  const router: Router = {
    ...{ hidden: 4, experts: 3, active: 1, parameters: () => [] },
    route: route as Router["route"],
    [Symbol.dispose]() {},
  };
  return new MoE(device, { router, hidden: 4, width: 5, deviation: 0.5 });
}

Deno.test("the plan is the reference's for any mask", async () => {
  const { context } = await openContext();
  using _ = context;
  fc.assert(
    fc.property(
      fc.record({
        tokens: fc.integer({ min: 1, max: 600 }),
        experts: fc.integer({ min: 1, max: 200 }),
        density: fc.double({ min: 0, max: 1, noNaN: true }),
        spare: fc.integer({ min: -2, max: 9 }),
      }),
      (options) => assertMatchesReference(context, dispatchPlanCase(options)),
    ),
    { numRuns: 40 },
  );
});

Deno.test("TopK keeps k experts per token where their probabilities underflow", async () => {
  using device = await openDevice({ seed: 1 });
  for (const renormalize of [false, true]) {
    using router = new TopKRouter(device, { hidden: 1, experts: 5, active: 2, renormalize });
    // Expert 3 is second by 200: its probability is 0 in fp32.
    write(router.weight, [-400, 0, -600, -200, -800]);
    using layer = new MoE(device, { router, hidden: 1, width: 3 });
    using _scope = device.scope();
    const { output, routing } = layer.forward(device.ones([7, 1]));
    assertEquals([...await read(routing.counts)], [0, 7, 0, 7, 0]);
    assertEquals(await routing.sparsity(), 1 - 2 / 5);
    assertEquals([...(await read(routing.gates)).subarray(0, 5)], [0, 1, 0, 0, 0]);
    assert((await read(output)).every(Number.isFinite));
  }
});

Deno.test("gates of any sign are trained through, a selected 0 too", async () => {
  using device = await openDevice({ seed: 2 });
  const x = device.normal([4, 4] as readonly [number, number]);
  const selected = device.from([1, 1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0], [4, 3]) as Matrix;
  const gates = device.from([-0.5, 0, 0, 0, 0.7, -1, 0, 0, 0, 0, 0, 0], [4, 3]) as Matrix;
  const routing = routingOf(gates, { selected });
  assertEquals([...await read(routing.counts)], [2, 2, 2]);
  using layer = layerBy(device, () => routing);
  const { output } = layer.forward(x);
  // A token whose gates are all 0 has rows, and a token that is not selected has none: both give 0.
  assertEquals([...(await read(output)).subarray(8)], new Array(8).fill(0));
  let given = gates;
  using trained = layerBy(device, () => routingOf(given, { selected }));
  const worst = await checkGradient((states, values) => {
    given = values as Matrix;
    return trained.forward(states as Matrix).output;
  }, [x, gates]);
  assert(worst.error < 0.01, `off by ${worst.error}`);
});

Deno.test("a selection has the shape of the gates", async () => {
  using device = await openDevice();
  const gates = device.ones([4, 3]);
  const selected = device.ones([3, 4]) as unknown as typeof gates;
  assertThrows(() => routingOf(gates, { selected }), ShapeMismatchError, "[3, 4]");
});
