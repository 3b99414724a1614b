import { assert, assertEquals, assertGreater } from "@std/assert";
import {
  type Device,
  type KeptRows,
  MoE,
  read,
  recompute,
  ReluRouter,
  sum,
  TopKRouter,
} from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

const [TOKENS, HIDDEN, EXPERTS, WIDTH] = [256, 32, 8, 24];

/** Gates and, of a softmax, probabilities [T, E]; the mask [T]; the plan's row lists and offsets. */
const ROUTING = 4 * TOKENS * EXPERTS + 2 * TOKENS + 4 * EXPERTS + 16;

function routers(device: Device) {
  const sizes = { hidden: HIDDEN, experts: EXPERTS };
  return [
    new ReluRouter(device, sizes),
    new TopKRouter(device, { ...sizes, active: 2 }),
  ];
}

Deno.test("a layer keeps only its input, its pre-activations and the routing", async () => {
  using device = await openDevice({ seed: 3 });
  for (const made of routers(device)) {
    using router = made;
    // Without a row limit there is room for E·T rows, of which only the routed ones are touched.
    const kept: KeptRows = { rows: TOKENS * EXPERTS };
    using layer = new MoE(device, { router, hidden: HIDDEN, width: WIDTH, kept });
    using x = device.normal([TOKENS, HIDDEN]);
    {
      using _scope = device.scope();
      const counts = await read(layer.forward(x).routing.counts);
      kept.rows = counts.reduce((sum, count) => sum + count, 0);
    }
    assertGreater(kept.rows, TOKENS);

    using tape = device.record();
    const before = device.statistics().inUse;
    const { output } = layer.forward(tape.watch(x));
    const held = (device.statistics().inUse - before) / 4;
    // SonicMoE's bound, T d + 2 N n: the input was there before, and the output is the next layer's
    // input.
    const bound = output.size + 2 * kept.rows * WIDTH;
    assert(held >= bound && held <= bound + ROUTING, `${held} elements beside a bound of ${bound}`);
    tape.backward(sum(output));
  }
});

Deno.test("a recomputed layer keeps only its input and output", async () => {
  using device = await openDevice({ seed: 3 });
  for (const made of routers(device)) {
    using router = made;
    using layer = new MoE(device, { router, hidden: HIDDEN, width: WIDTH });
    using tape = device.record();
    const x = tape.watch(device.normal([TOKENS, HIDDEN]));
    const before = device.statistics().inUse;
    const output = recompute((input) => layer.forward(input).output, x);
    assertEquals((device.statistics().inUse - before) / 4, output.size);
  }
});
