import { assertEquals, assertThrows } from "@std/assert";
import {
  AdamW,
  add,
  defineOperation,
  matmul,
  read,
  recompute,
  reshape,
  square,
  sum,
  type Tensor,
  write,
} from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

type Vector = Tensor<"f32", readonly [number]>;

const CHANGED = "was written after the forward pass";

Deno.test("a derivative at overwritten values is refused, whatever saved them", async () => {
  using device = await openDevice();
  const own = defineOperation({
    name: "double",
    forward: (x: Vector) => add(x, x),
    backward: ({ gradient }) => [add(gradient, gradient)],
  });
  const uses: Readonly<Record<string, (x: Vector) => Tensor<"f32">>> = {
    square: (x) => square(x),
    "a view's square": (x) => square(reshape(x, [2, 1])),
    double: (x) => own(x),
    recompute: (x) => recompute((y: Vector) => square(y), x),
  };
  for (const [name, use] of Object.entries(uses)) {
    using tape = device.record();
    const x = tape.watch(device.from([1, 2], [2]));
    const loss = sum(use(x)) as Tensor<"f32", readonly []>;
    write(x, [5, 5]);
    assertThrows(() => tape.backward(loss), Error, CHANGED, name);
  }
});

Deno.test("an optimizer's step between forward and backward is refused", async () => {
  using device = await openDevice();
  using weight = device.parameter([2, 2]);
  using optimizer = new AdamW(device, [weight]);
  using tape = device.record();
  const x = tape.watch(device.ones([1, 2]));
  const loss = sum(matmul(x, weight));
  optimizer.step();
  assertThrows(() => tape.backward(loss), Error, CHANGED);
});

Deno.test("values that no derivative needs may be overwritten", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = device.from([1, 2], [2]);
  write(x, [3, 4]);
  tape.watch(x);
  const y = sum(square(x));
  const unused = add(x, x);
  write(unused, [0, 0]);
  tape.backward(y);
  write(x, [7, 7]);
  assertEquals([...await read(tape.gradient(x))], [6, 8]);
});
