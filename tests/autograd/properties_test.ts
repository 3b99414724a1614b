import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import {
  add,
  divide,
  matmul,
  mean,
  multiply,
  read,
  scale,
  sigmoid,
  silu,
  softmax,
  square,
  subtract,
  sum,
  tanh,
  type Tensor,
  transpose,
} from "../../mod.ts";
import { assertAllClose } from "../../kernels/cases/assert_all_close.ts";
import { Random } from "../../kernels/cases/random.ts";
import {
  binary,
  sigmoid as sigmoidReference,
  unary,
} from "../../kernels/cases/reference/elementwise.ts";
import { matmul as matmulReference } from "../../kernels/cases/reference/gemm.ts";
import { softmax as softmaxReference } from "../../kernels/cases/reference/reduction.ts";
import { openDevice } from "../tensor/open_device.ts";
import { broadcast } from "./broadcast.ts";
import { assertGradients } from "./gradient_check.ts";

const size = fc.integer({ min: 1, max: 4 });
const shapes = fc.array(size, { minLength: 1, maxLength: 4 });

/** A shape, and the same with some axes set to 1 and some leading axes dropped. */
const broadcastPairs = shapes.chain((shape) => {
  const operand = fc.tuple(
    fc.nat({ max: shape.length }),
    fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }),
  ).map(([missing, ones]) => shape.map((n, axis) => ones[axis] ? 1 : n).slice(missing));
  return fc.tuple(operand, operand);
});

Deno.test("binary operations have correct gradients for any shapes that broadcast", async () => {
  using device = await openDevice();
  const operations = { add, subtract, multiply, divide };
  const name = fc.constantFrom("add", "subtract", "multiply", "divide");
  await fc.assert(
    fc.asyncProperty(broadcastPairs, name, async ([left, right], name) => {
      await assertGradients(device, {
        name: `${name} [${left}] [${right}]`,
        inputs: [{ shape: left }, {
          shape: right,
          draw: (random, length) => random.uniform(length, { mean: 1.5 }),
        }],
        run: (_, [a, b]) => operations[name](a!, b!),
        reference: ([a, b]) => broadcast(a!, left, b!, right, (x, y) => binary(name, x, y)),
      });
    }),
    { numRuns: 60 },
  );
});

/** Chainable functions of one [4, 4] matrix: values and derivatives stay near 1. */
const LINKS: Record<string, {
  run(x: Tensor<"f32", readonly [4, 4]>): Tensor<"f32", readonly [4, 4]>;
  reference(x: Float64Array): Float64Array;
}> = {
  tanh: { run: tanh, reference: (x) => x.map((v) => unary("tanh", v, 0)) },
  silu: { run: silu, reference: (x) => x.map((v) => v * sigmoidReference(v)) },
  sigmoid: { run: sigmoid, reference: (x) => x.map(sigmoidReference) },
  softmax: { run: softmax, reference: (x) => softmaxReference(x, 4) },
  transpose: {
    run: transpose,
    reference: (x) => x.map((_, i) => x[(i % 4) * 4 + Math.floor(i / 4)]!),
  },
  "x + x²": {
    run: (x) => add(x, square(tanh(x))),
    reference: (x) => x.map((v) => v + Math.tanh(v) ** 2),
  },
  "x · x": {
    run: (x) => scale(matmul(x, x), 0.25),
    reference: (x) => matmulReference(x, x, 4, 4, 4).map((v) => v / 4),
  },
  "x - mean": {
    run: (x) => subtract(x, mean(x, { axis: 0 })),
    reference: (x) =>
      x.map((v, i) => v - [0, 1, 2, 3].reduce((total, row) => total + x[row * 4 + i % 4]! / 4, 0)),
  },
};

Deno.test("any chain of operations obeys the chain rule", async () => {
  using device = await openDevice();
  const chains = fc.array(fc.constantFrom(...Object.keys(LINKS)), { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(chains, async (chain) => {
      await assertGradients(device, {
        name: chain.join(", "),
        inputs: [{ shape: [4, 4] }],
        run: (_, [x]) =>
          chain.reduce(
            (y, link) => LINKS[link]!.run(y),
            x as Tensor<"f32", readonly [4, 4]>,
          ),
        reference: ([x]) => chain.reduce((y, link) => LINKS[link]!.reference(y), x!),
      });
    }),
    { numRuns: 60 },
  );
});

Deno.test("backward() is linear in the loss", async () => {
  using device = await openDevice();
  const factors = fc.integer({ min: -16, max: 16 }).map((n) => n / 4);
  await fc.assert(
    fc.asyncProperty(factors, factors, fc.nat(), async (p, q, seed) => {
      const numbers = new Random(`${seed}`).normal(15);
      const gradientOf = async (p: number, q: number): Promise<Float32Array> => {
        using tape = device.record();
        const x = tape.watch(device.from(numbers, [3, 5]));
        const [first, second] = [sum(silu(x)), mean(square(softmax(x)))];
        tape.backward(add(scale(first, p), scale(second, q)));
        return await read(tape.gradient(x));
      };
      const [first, second] = [await gradientOf(1, 0), await gradientOf(0, 1)];
      const expected = first.map((g, i) => p * g + q * second[i]!);
      const tolerance = { rtol: 1e-5, atol: 1e-6 * (Math.abs(p) + Math.abs(q)) };
      assertAllClose(await gradientOf(p, q), expected, { name: "p f + q g", ...tolerance });
    }),
    { numRuns: 30 },
  );
});

Deno.test("the gradient of a sum is 1, that of a mean is 1 over the count", async () => {
  using device = await openDevice();
  await fc.assert(
    fc.asyncProperty(shapes, fc.nat({ max: 3 }), async (shape, pick) => {
      using tape = device.record();
      const x = tape.watch(device.normal(shape));
      const y = tape.watch(device.normal(shape));
      const z = tape.watch(device.normal(shape));
      const axis = pick % shape.length;
      const total = add(sum(x) as Tensor<"f32">, sum(sum(y, { axis })) as Tensor<"f32">);
      tape.backward(add(total, mean(z) as Tensor<"f32">) as Tensor<"f32", readonly []>);
      assertEquals(new Set(await read(tape.gradient(x))), new Set([1]));
      assertEquals(new Set(await read(tape.gradient(y))), new Set([1]));
      assertEquals(new Set(await read(tape.gradient(z))), new Set([Math.fround(1 / z.size)]));
    }),
    { numRuns: 30 },
  );
});
