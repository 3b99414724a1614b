import { assertEquals, assertThrows } from "@std/assert";
import {
  add,
  cast,
  matmul,
  mean,
  multiply,
  read,
  relu,
  reshape,
  scale,
  silu,
  square,
  sum,
  type Tensor,
} from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { toBf16 } from "./gradient_check.ts";

type Scalar = Tensor<"f32", readonly []>;

Deno.test("gradient() sums over all uses of a tensor", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1, 2, 3], [3]));
  // x² + 3x + x·x: 2x + 3 + 2x
  const y = add(add(square(x), scale(x, 3)), multiply(x, x));
  tape.backward(sum(y));
  assertEquals([...await read(tape.gradient(x))], [7, 11, 15]);
});

Deno.test("watch() works on intermediate results", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1, 2], [2]));
  const y = tape.watch(square(x));
  const loss = tape.watch(sum(scale(y, 5)));
  tape.backward(loss);
  assertEquals([...await read(tape.gradient(loss))], [1]);
  assertEquals([...await read(tape.gradient(y))], [5, 5]);
  assertEquals([...await read(tape.gradient(x))], [10, 20]);
});

Deno.test("a watched tensor that the loss does not depend on has zero gradient", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.ones([2]));
  const unused = tape.watch(device.ones([2, 2]));
  relu(unused);
  assertThrows(() => tape.gradient(x), Error, "before backward()");
  tape.backward(sum(x));
  assertEquals([...await read(tape.gradient(unused))], [0, 0, 0, 0]);
  assertEquals([...await read(tape.gradient(x))], [1, 1]);
});

Deno.test("an unwatched tensor costs nothing and gets no gradient", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.ones([2]));
  const constant = device.from([3, 4], [2]);
  tape.backward(sum(multiply(x, constant)));
  assertEquals([...await read(tape.gradient(x))], [3, 4]);
  assertThrows(() => tape.gradient(constant), Error, "not watched");
});

Deno.test("backward() scales the loss", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1, 2], [2]));
  tape.backward(sum(square(x)), { scale: 0.25 });
  assertEquals([...await read(tape.gradient(x))], [0.5, 1]);
});

Deno.test("backward() refuses what it cannot start from", async (t) => {
  using device = await openDevice();
  await t.step("more than one number", () => {
    using tape = device.record();
    const x = tape.watch(device.ones([2, 3]));
    const y = relu(x) as unknown as Scalar;
    assertThrows(() => tape.backward(y), RangeError, "shape [2, 3]");
  });
  await t.step("a tape that was already run", () => {
    using tape = device.record();
    const loss = sum(tape.watch(device.ones([2])));
    tape.backward(loss);
    assertThrows(() => tape.backward(loss), Error, "twice");
  });
  await t.step("a loss that depends on nothing watched", () => {
    using tape = device.record();
    const loss = sum(device.ones([2]));
    assertThrows(() => tape.backward(loss), Error, "no parameter or watched tensor");
  });
  await t.step("a loss of another tape", () => {
    using outer = device.record();
    const loss = sum(outer.watch(device.ones([2])));
    using inner = device.record();
    assertThrows(() => inner.backward(loss), Error, "on this tape");
  });
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("scopes inside a recording free temporaries and keep what backward needs", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1, -2, 3], [3]));
  let y;
  {
    using scope = device.scope();
    const activated = silu(x);
    {
      using _inner = device.scope();
      device.zeros([1000]);
      y = scope.keep(square(activated));
    }
    y = scope.keep(sum(y));
    assertEquals(device.statistics().inUse < 1000, true);
  }
  tape.backward(y);
  // d silu(x)² = 2 silu(x) · silu'(x), silu' = s (1 + x (1 - s))
  const expected = [1, -2, 3].map((v) => {
    const s = 1 / (1 + Math.exp(-v));
    return 2 * v * s * s * (1 + v * (1 - s));
  });
  const gradient = await read(tape.gradient(x));
  for (let i = 0; i < 3; i++) assertEquals(Math.abs(gradient[i]! - expected[i]!) < 1e-5, true);
});

Deno.test("backward() names a saved tensor that was disposed of", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.ones([2, 3]));
  const y = relu(x);
  const loss = sum(square(y));
  y[Symbol.dispose]();
  assertThrows(() => tape.backward(loss), ReferenceError, "[2, 3]");
});

Deno.test("noGradient() leaves no trace on the tape around it", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([3], [1]));
  let factor;
  {
    using pause = device.noGradient();
    factor = pause.keep(square(x));
    assertThrows(() => tape.backward(sum(square(x))), Error, "no parameter or watched tensor");
  }
  // The factor counts as a constant: 9, not 27.
  tape.backward(sum(multiply(x, factor)));
  assertEquals([...await read(tape.gradient(x))], [9]);
});

Deno.test("a recording inside noGradient() records", async () => {
  using device = await openDevice();
  using outer = device.record();
  const x = outer.watch(device.from([2], [1]));
  {
    using _pause = device.noGradient();
    {
      using inner = device.record();
      const y = inner.watch(device.from([5], [1]));
      inner.backward(sum(square(y)));
      assertEquals([...await read(inner.gradient(y))], [10]);
    }
  }
  outer.backward(sum(square(x)));
  assertEquals([...await read(outer.gradient(x))], [4]);
});

Deno.test("a nested recording is a separate tape", async () => {
  using device = await openDevice();
  using outer = device.record();
  const x = outer.watch(device.from([2], [1]));
  const y = square(x);
  {
    using inner = device.record();
    const z = inner.watch(device.from([7], [1]));
    inner.backward(sum(multiply(z, y)));
    assertEquals([...await read(inner.gradient(z))], [4]);
  }
  outer.backward(sum(scale(y, 3)));
  assertEquals([...await read(outer.gradient(x))], [12]);
});

Deno.test("gradients pass through bf16, in which they are rounded", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1.001, 2.003], [2]));
  const y = cast(cast(x, "bf16"), "f32");
  tape.backward(sum(multiply(y, device.from([0.1, 0.2], [2]))));
  assertEquals([...await read(y)], [1, 2]);
  assertEquals([...await read(tape.gradient(x))], [toBf16(0.1), toBf16(0.2)]);
});

Deno.test("what reaches a bf16 tensor is added in fp32 and rounded once per contribution", async () => {
  using device = await openDevice();
  const gradientOf = async (factors: readonly number[]): Promise<number> => {
    using tape = device.record();
    const x = tape.watch(cast(device.ones([1]), "bf16"));
    const parts = factors.map((factor) => scale(cast(x, "f32"), factor));
    tape.backward(sum(parts.reduce((a, b) => add(a, b))));
    assertEquals(tape.gradient(x).dtype, "bf16");
    return (await read(tape.gradient(x)))[0]!;
  };
  // Contributions come from the last operation to the first. 2^-8 + 2^-9 is exact, and rounds the sum
  // with 1 up; either alone is lost beside 1.
  assertEquals(await gradientOf([1, 2 ** -9, 2 ** -8]), 1 + 2 ** -7);
  assertEquals(await gradientOf([2 ** -9, 2 ** -8, 1]), 1);
});

Deno.test("one bf16 tensor may be both operands, and go through products and casts", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(cast(device.from([1, 2, 3, 4], [2, 2]), "bf16"));
  tape.backward(sum(cast(matmul(x, x), "f32")));
  // d sum(XX) = 1 X^T + X^T 1
  assertEquals([...await read(tape.gradient(x))], [7, 11, 9, 13]);
});

Deno.test("a hundred rounds of record and backward leak no memory", async () => {
  using device = await openDevice();
  const w = device.normal([16, 16], { deviation: 0.2 });
  const round = async (): Promise<number> => {
    using tape = device.record();
    tape.watch(w);
    let x: Tensor<"f32", readonly [4, 16]> = device.normal([4, 16]);
    for (let i = 0; i < 3; i++) {
      using scope = device.scope();
      x = scope.keep(silu(matmul(x, w)));
    }
    tape.backward(mean(reshape(x, [64])));
    return (await read(tape.gradient(w)))[0]!;
  };
  await round();
  const { inUse, held, blocks } = device.statistics();
  for (let i = 0; i < 100; i++) await round();
  const after = device.statistics();
  assertEquals([after.inUse, after.held, after.blocks], [inUse, held, blocks]);
});

Deno.test("backward() frees gradients as it goes", async () => {
  using device = await openDevice();
  using tape = device.record();
  let x: Tensor<"f32", readonly [1000]> = tape.watch(device.ones([1000]));
  for (let i = 0; i < 50; i++) x = scale(x, 1.01);
  const loss = sum(x);
  const { inUse } = device.statistics();
  device.resetPeak();
  tape.backward(loss);
  // At any time: the incoming gradient, the one being written, and the loss's.
  const grown = device.statistics().peak - inUse;
  assertEquals(grown <= 3 * 4000, true, `${grown} bytes`);
});
