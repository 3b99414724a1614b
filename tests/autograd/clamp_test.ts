import { assertEquals } from "@std/assert";
import { cast, read, scale, sum, type Tensor } from "../../mod.ts";
import { clamp } from "../../lib/autograd/clamp.ts";
import { openDevice } from "../tensor/open_device.ts";

// In bf16 a difference of ReLUs would round 300 - (300 - 8.25) to a multiple of 2.
const VALUES = [-300, -8.25, -8.1875, -0.1, 0, 3.140625, 8.25, 8.3125, 300];

for (const dtype of ["f32", "bf16"] as const) {
  Deno.test(`\`clamp()\` cuts off what exceeds the limit and keeps the rest to the bit (${dtype})`, async () => {
    using device = await openDevice();
    const x = cast(device.from(VALUES, [9]), dtype) as Tensor<"f32", readonly [9]>;
    using tape = device.record();
    tape.watch(x);
    const y = clamp(x, 8.25);
    const expected = [...await read(x)].map((value) => Math.max(-8.25, Math.min(8.25, value)));
    assertEquals([...await read(y)], expected.map((value) => value === 0 ? 0 : value));
    tape.backward(sum(cast(scale(y, 2), "f32")));
    // The limit itself is within.
    assertEquals([...await read(tape.gradient(x))], [0, 2, 2, 2, 2, 2, 2, 0, 0]);
  });
}
