import { assertEquals, assertThrows } from "@std/assert";
import { Linear, mean, read, rows, scale, square, sum, write } from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { assertClose } from "./gradient_check.ts";

Deno.test("a parameter's gradient is zero before the first backward, and outlives the tape", async () => {
  using device = await openDevice();
  using layer = new Linear(device, { input: 2, output: 1 });
  assertEquals([...await read(layer.weight.gradient)], [0, 0]);
  {
    using tape = device.record();
    tape.backward(sum(layer.forward(device.from([3, 4], [1, 2]))));
  }
  assertEquals([...await read(layer.weight.gradient)], [3, 4]);
});

Deno.test("a parameter's gradients accumulate over tapes until zeroGradient()", async () => {
  using device = await openDevice();
  using layer = new Linear(device, { input: 2, output: 1 });
  const pass = (): void => {
    using tape = device.record();
    tape.backward(sum(layer.forward(device.from([3, 4], [1, 2]))));
  };
  pass();
  pass();
  assertEquals([...await read(layer.weight.gradient)], [6, 8]);
  layer.weight.zeroGradient();
  assertEquals([...await read(layer.weight.gradient)], [0, 0]);
  pass();
  assertEquals([...await read(layer.weight.gradient)], [3, 4]);
});

Deno.test("a stale gradient is overwritten, whatever its memory contains", async () => {
  using device = await openDevice();
  using layer = new Linear(device, { input: 2, output: 1 });
  write(layer.weight.gradient, [NaN, Infinity]);
  layer.weight.zeroGradient();
  using tape = device.record();
  const x = device.from([3, 4], [1, 2]);
  // Two uses: the first overwrites, the second adds.
  tape.backward(sum(layer.forward(x)), { scale: 0.5 });
  assertEquals([...await read(layer.weight.gradient)], [1.5, 2]);
});

Deno.test("micro-batches with a scale add up to the gradient of the whole batch", async () => {
  using device = await openDevice({ seed: 5 });
  using layer = new Linear(device, { input: 6, output: 3, deviation: 1 });
  const x = device.normal([8, 6]);
  {
    using tape = device.record();
    tape.backward(mean(square(layer.forward(x))));
  }
  const whole = await read(layer.weight.gradient);
  layer.weight.zeroGradient();
  for (let i = 0; i < 4; i++) {
    using tape = device.record();
    const share = rows<readonly [6]>(x, 2 * i, 2 * i + 2);
    tape.backward(mean(square(layer.forward(share))), { scale: 1 / 4 });
  }
  assertClose(await read(layer.weight.gradient), whole, "accumulated gradient", 1e-6);
});

Deno.test("a parameter survives every scope and is freed with its layer", async () => {
  using device = await openDevice();
  const layer = (() => {
    using _scope = device.scope();
    return new Linear(device, { input: 2, output: 3 });
  })();
  assertEquals((await read(layer.weight)).length, 6);
  {
    using tape = device.record();
    tape.backward(sum(layer.forward(device.ones([1, 2]))));
  }
  assertEquals(device.statistics().blocks, 2);
  layer[Symbol.dispose]();
  assertEquals(device.statistics().blocks, 0);
  assertThrows(() => scale(layer.weight, 2), ReferenceError);
});

Deno.test("a parameter can be overwritten, as when loading a checkpoint", async () => {
  using device = await openDevice();
  using layer = new Linear(device, { input: 2, output: 1, name: "head" });
  write(layer.weight, [2, 3]);
  assertEquals([...await read(layer.forward(device.ones([1, 2])))], [5]);
  assertEquals([layer.weight.name, layer.weight.decay], ["head", true]);
});
