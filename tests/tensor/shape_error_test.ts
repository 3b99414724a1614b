import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  add,
  causalAttention,
  crossEntropy,
  type Device,
  embedding,
  matmul,
  mean,
  meanSquaredError,
  multiply,
  reshape,
  rmsNorm,
  rows,
  ShapeMismatchError,
  sum,
  swiglu,
  type Tensor,
  transpose,
} from "../../mod.ts";
import { openDevice } from "./open_device.ts";

/** Zeros whose sizes the compiler does not know, so that the run-time check applies. */
// deno-lint-ignore no-explicit-any -- stands for code that is not type-checked
function zeros(device: Device, ...shape: number[]): any {
  return device.zeros(shape);
}

interface Misfit {
  name: string;
  /** What the message must contain: the operation and the shapes. */
  says: string[];
  run(device: Device): unknown;
}

const MISFITS: Misfit[] = [
  {
    name: "matmul()",
    says: ["matmul", "[2, 3]", "[4, 5]"],
    run: (d) => matmul(zeros(d, 2, 3), zeros(d, 4, 5)),
  },
  {
    name: "matmul() with a batch on the right",
    says: ["matmul", "[2, 3]", "[3, 4, 5]", "two axes"],
    run: (d) => matmul(zeros(d, 2, 3), zeros(d, 3, 4, 5)),
  },
  {
    name: "matmul() of a scalar",
    says: ["matmul", "[]", "[3, 4]"],
    run: (d) => matmul(zeros(d), zeros(d, 3, 4)),
  },
  {
    name: "add()",
    says: ["add", "[2, 3]", "[2, 4]", "sizes 3 and 4"],
    run: (d) => add(zeros(d, 2, 3), zeros(d, 2, 4)),
  },
  {
    name: "multiply() with fewer axes",
    says: ["multiply", "[5, 2, 3]", "[4, 3]", "sizes 2 and 4"],
    run: (d) => multiply(zeros(d, 5, 2, 3), zeros(d, 4, 3)),
  },
  {
    name: "meanSquaredError()",
    says: ["[3]", "[4]"],
    run: (d) => meanSquaredError(zeros(d, 3), zeros(d, 4)),
  },
  {
    name: "meanSquaredError() of shapes that would broadcast",
    says: ["[3, 1]", "[3]"],
    run: (d) => meanSquaredError(zeros(d, 3, 1), zeros(d, 3)),
  },
  {
    name: "reshape()",
    says: ["reshape", "[2, 6]", "[5]", "12"],
    run: (d) => reshape(zeros(d, 2, 6), [5]),
  },
  {
    name: "transpose()",
    says: ["transpose", "[4]", "two axes"],
    run: (d) => transpose(zeros(d, 4)),
  },
  {
    name: "rmsNorm()",
    says: ["rmsNorm", "[2, 3]", "[4]"],
    run: (d) => rmsNorm(zeros(d, 2, 3), zeros(d, 4)),
  },
  {
    name: "swiglu()",
    says: ["swiglu", "[2, 3]"],
    run: (d) => swiglu(zeros(d, 2, 3)),
  },
  {
    name: "embedding()",
    says: ["embed", "[2, 3, 4]"],
    run: (d) => embedding(zeros(d, 2, 3, 4), d.tokens([0])),
  },
  {
    name: "crossEntropy() with another hidden size",
    says: ["cross entropy", "[2, 3]", "[4, 9]"],
    run: (d) => crossEntropy(zeros(d, 2, 3), zeros(d, 4, 9), d.tokens([0, 1])),
  },
  {
    name: "crossEntropy() with too many targets",
    says: ["cross entropy", "[2, 3]", "[3, 9]", "[4]"],
    run: (d) =>
      crossEntropy(zeros(d, 2, 3), zeros(d, 3, 9), d.tokens([0, 1, 2, 3]) as Tensor<"i32", never>),
  },
  {
    name: "causalAttention() with rows that do not divide",
    says: ["[10, 32]", "sequence 4"],
    run: (d) => causalAttention(zeros(d, 10, 32), { sequence: 4, heads: 4, groups: 2 }),
  },
  {
    name: "causalAttention() with heads that do not divide",
    says: ["[8, 40]", "4 heads", "3 groups"],
    run: (d) => causalAttention(zeros(d, 8, 40), { sequence: 4, heads: 4, groups: 3 }),
  },
  {
    name: "causalAttention() with an odd head size",
    says: ["[8, 24]", "even"],
    run: (d) => causalAttention(zeros(d, 8, 24), { sequence: 4, heads: 4, groups: 2 }),
  },
];

Deno.test("a mismatch names the operation and both shapes", async (t) => {
  using device = await openDevice();
  for (const { name, says, run } of MISFITS) {
    await t.step(name, () => {
      using _scope = device.scope();
      const { message } = assertThrows(() => run(device), ShapeMismatchError) as Error;
      for (const part of says) assertStringIncludes(message, part);
    });
  }
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("ShapeMismatchError is a RangeError", () => {
  const error: RangeError = new ShapeMismatchError("no fit", { cause: 1 });
  assertEquals([error.name, error.cause], ["ShapeMismatchError", 1]);
});

Deno.test("an axis or a range that does not exist is refused", async () => {
  using device = await openDevice();
  const x = device.zeros([2, 3]);
  for (const axis of [2, -3, 0.5]) assertThrows(() => sum(x, { axis }), RangeError, `axis ${axis}`);
  assertThrows(() => mean(device.zeros([]), { axis: 0 }), RangeError, "0 axes");
  for (const [start, end] of [[0, 3], [1, 1], [-1, 1], [0, 1.5]] as const) {
    assertThrows(() => rows(x, start, end), RangeError, `rows ${start} to ${end}`);
  }
});

Deno.test("operands of two dtypes are refused", async () => {
  using device = await openDevice();
  const x = zeros(device, 2, 2);
  // deno-lint-ignore no-explicit-any -- stands for code that is not type-checked
  const y = device.tokens([1, 2]) as any;
  assertThrows(() => add(x, y), TypeError, "f32 and i32");
  assertThrows(() => matmul(x, reshape(y, [2, 1])), TypeError, "f32 or bf16");
});

Deno.test("more axes than a kernel supports are refused", async () => {
  using device = await openDevice();
  const x = zeros(device, 1, 1, 1, 1, 1, 1, 1, 1, 2);
  assertThrows(() => add(x, x), RangeError, "at most 8 axes");
});
