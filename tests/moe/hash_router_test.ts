import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  ConfigError,
  DeviceError,
  HashRouter,
  MoE,
  read,
  ShapeMismatchError,
  sum,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";

Deno.test("HashRouter sends a token to expert id mod E with gate 1, for any sizes", async () => {
  using device = await openDevice({ seed: 1 });
  const sizes = fc.tuple(
    fc.oneof(fc.integer({ min: 1, max: 128 }), fc.constant(64 * 8)),
    fc.array(fc.nat({ max: 2 ** 31 - 1 }), { minLength: 1, maxLength: 40 }),
  );
  await fc.assert(
    fc.asyncProperty(sizes, async ([experts, ids]) => {
      using router = new HashRouter(device, { hidden: 3, experts });
      using _scope = device.scope();
      const x = device.normal([ids.length, 3]);
      const routing = router.route(x, { tokens: device.tokens(ids) });
      const gates = ids.flatMap((id) =>
        Array.from({ length: experts }, (_, e) => Number(e === id % experts))
      );
      assertEquals([...await read(routing.gates)], gates);
      const counts = Array.from(
        { length: experts },
        (_, e) => ids.filter((id) => id % experts === e).length,
      );
      assertEquals([...await read(routing.counts)], counts);
      assertEquals(await routing.regularization(), 0);
    }),
    { numRuns: 50 },
  );
});

Deno.test("a layer routed by hash is the expert that each token's id names", async () => {
  using device = await openDevice({ seed: 2 });
  const [hidden, experts, width] = [6, 4, 8] as const;
  using router = new HashRouter(device, { hidden, experts });
  using layer = new MoE(device, { router, hidden, width, deviation: 0.5 });
  using _scope = device.scope();
  const ids = [0, 1, 2, 2, 6, 13];
  const x = device.normal([ids.length, hidden]);
  const y = await read(layer.forward(x, { tokens: device.tokens(ids) }).output);
  const [w1, w2] = await Promise.all([...layer.parameters()].map((weight) => read(weight)));
  const states = await read(x);
  for (const [t, id] of ids.entries()) {
    const e = id % experts;
    using one = new MoE(device, {
      ...{ router: new HashRouter(device, { hidden, experts: 1 }), hidden, width },
    });
    const [first, second] = [...one.parameters()];
    const [sizeOf1, sizeOf2] = [w1!.length / experts, w2!.length / experts];
    write(first!, w1!.subarray(e * sizeOf1, (e + 1) * sizeOf1));
    write(second!, w2!.subarray(e * sizeOf2, (e + 1) * sizeOf2));
    const row = device.from(states.subarray(t * hidden, (t + 1) * hidden), [1, hidden]);
    const alone = one.forward(row, { tokens: device.tokens([id]) }).output;
    const own = y.subarray(t * hidden, (t + 1) * hidden);
    assertClose(own, await read(alone), `token ${t}`, 1e-5);
  }
});

Deno.test("experts without tokens get a gradient of exactly 0", async () => {
  using device = await openDevice({ seed: 3 });
  using router = new HashRouter(device, { hidden: 6, experts: 4 });
  using layer = new MoE(device, { router, hidden: 6, width: 8 });
  using tape = device.record();
  const tokens = device.tokens([4, 8, 0]);
  tape.backward(sum(layer.forward(device.normal([3, 6]), { tokens }).output));
  for (const weight of layer.parameters()) {
    const gradient = await read(weight.gradient);
    const share = gradient.length / 4;
    const isZero = [0, 1, 2, 3].map((e) =>
      gradient.subarray(e * share, (e + 1) * share).every((value) => value === 0)
    );
    assertEquals(isZero, [false, true, true, true], weight.name);
  }
});

Deno.test("a layer that is run without token ids cannot route by hash", async () => {
  using device = await openDevice();
  using router = new HashRouter(device, { hidden: 6, experts: 4 });
  using layer = new MoE(device, { router, hidden: 6, width: 8 });
  const x = device.zeros([3, 6]);
  const message = "pass { tokens } to forward()";
  assertThrows(() => layer.forward(x), ConfigError, message);
  assertThrows(() => router.route(x, { tokens: null }), ConfigError, message);
});

Deno.test("HashRouter refuses ids of another number, and states of another size", async () => {
  using device = await openDevice();
  const hidden: number = 6;
  using router = new HashRouter(device, { hidden, experts: 4 });
  const tokens = device.tokens([1, 2]);
  assertThrows(() => router.route(device.zeros([3, 6]), { tokens }), ShapeMismatchError, "[2]");
  assertThrows(() => router.route(device.zeros([2, 5]), { tokens }), ShapeMismatchError, "[2, 5]");
});

Deno.test("HashRouter refuses token ids on another device", async () => {
  using device = await openDevice();
  using other = await openDevice();
  using router = new HashRouter(device, { hidden: 6, experts: 4 });
  const tokens = other.tokens([1, 2]);
  assertThrows(() => router.route(device.zeros([2, 6]), { tokens }), DeviceError);
});
