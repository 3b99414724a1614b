import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  AdamW,
  add,
  crossEntropy,
  defineOperation,
  Device,
  DeviceError,
  embedding,
  ExpertChoiceRouter,
  FeedForward,
  HashRouter,
  Linear,
  matmul,
  meanSquaredError,
  MoE,
  recompute,
  ReluRouter,
  rmsNorm,
  SigmoidRouter,
  StepState,
  sum,
  type Tensor,
  TopKRouter,
} from "../../mod.ts";
import { openDevice } from "./open_device.ts";

/** Each mixes what belongs to `a` with what belongs to `b`; the stack frees weights. */
const MIXTURES: Record<string, (a: Device, b: Device, stack: DisposableStack) => unknown> = {
  add: (a, b) => add(a.ones([2]), b.ones([2])),
  matmul: (a, b) => matmul(a.ones([2, 2]), b.ones([2, 2])),
  meanSquaredError: (a, b) => meanSquaredError(a.ones([2]), b.ones([2])),
  rmsNorm: (a, b) => rmsNorm(a.ones([2, 3]), b.ones([3])),
  embedding: (a, b) => embedding(a.ones([2, 3]), b.tokens([1])),
  "crossEntropy, head": (a, b) => crossEntropy(a.ones([1, 2]), b.ones([2, 3]), a.tokens([0])),
  "crossEntropy, targets": (a, b) => crossEntropy(a.ones([1, 2]), a.ones([2, 3]), b.tokens([0])),
  recompute: (a, b) => recompute((x, y) => add(x, y), a.ones([2]), b.ones([2])),
  defineOperation: (a, b) => {
    const operation = defineOperation({
      name: "first",
      forward: (x: Tensor<"f32", readonly [2]>, _y: Tensor<"f32", readonly [2]>) => add(x, x),
      backward: () => [null, null],
    });
    return operation(a.ones([2]), b.ones([2]));
  },
  "the sum of an own operation": (a, b) => {
    const operation = defineOperation({
      name: "withConstant",
      forward: (x: Tensor<"f32", readonly [2]>) => add(x, b.ones([2])),
      backward: ({ gradient }) => [gradient],
    });
    return operation(a.ones([2]));
  },
  Linear: (a, b, stack) =>
    stack.use(new Linear(a, { input: 2, output: 2 })).forward(b.ones([1, 2])),
  FeedForward: (a, b, stack) =>
    stack.use(new FeedForward(a, { hidden: 4 })).forward(b.ones([1, 4])),
  ReluRouter: (a, b, stack) =>
    stack.use(new ReluRouter(a, { hidden: 2, experts: 2 })).route(b.ones([1, 2])),
  TopKRouter: (a, b, stack) =>
    stack.use(new TopKRouter(a, { hidden: 2, experts: 2 })).route(b.ones([1, 2])),
  ExpertChoiceRouter: (a, b, stack) =>
    stack.use(new ExpertChoiceRouter(a, { hidden: 2, experts: 2 })).route(b.ones([1, 2])),
  HashRouter: (a, b) =>
    new HashRouter(a, { hidden: 2, experts: 2 })
      .route(a.ones([1, 2]), { tokens: b.tokens([1]) }),
  SigmoidRouter: (a, b, stack) =>
    stack.use(new SigmoidRouter(a, { hidden: 2, experts: 2 })).route(b.ones([1, 2])),
  "MoE, tokens": (a, b, stack) => {
    const router = stack.use(new ReluRouter(a, { hidden: 2, experts: 2 }));
    return stack.use(new MoE(a, { router, hidden: 2, width: 4 })).forward(b.ones([1, 2]));
  },
  "MoE, router": (a, b, stack) => {
    const router = stack.use(new ReluRouter(a, { hidden: 2, experts: 2 }));
    return stack.use(new MoE(b, { router, hidden: 2, width: 4 })).forward(b.ones([1, 2]));
  },
  "MoE, state": (a, b, stack) => {
    const router = stack.use(new ReluRouter(a, { hidden: 2, experts: 2 }));
    const state = stack.use(new StepState(b, { experts: 2 }));
    return new MoE(a, { router, hidden: 2, width: 4, state });
  },
  "ReluRouter, state": (a, b, stack) =>
    new ReluRouter(a, { hidden: 2, experts: 2, state: stack.use(new StepState(b)) }),
  "AdamW, parameters": (a, b, stack) =>
    new AdamW(b, stack.use(new Linear(a, { input: 2, output: 2 })).parameters()),
  "AdamW, state": (a, b, stack) => {
    const parameters = stack.use(new Linear(a, { input: 2, output: 2 })).parameters();
    return new AdamW(a, parameters, { state: stack.use(new StepState(b)) });
  },
  "StepState.addLoss()": (a, b, stack) => stack.use(new StepState(a)).addLoss(sum(b.ones([2])), 1),
};

Deno.test("an operation refuses tensors of two devices before any work", async (t) => {
  using a = await openDevice({ threads: 1 });
  using b = await openDevice({ threads: 1 });
  for (const [name, mix] of Object.entries(MIXTURES)) {
    await t.step(name, () => {
      using stack = new DisposableStack();
      using _scopeA = a.scope();
      using _scopeB = b.scope();
      const error = assertThrows(() => mix(a, b, stack), DeviceError);
      assertStringIncludes(error.message, "device");
      assertEquals(error.status, 1);
    });
  }
});

Deno.test("the error names the operation, both shapes and what to do", async () => {
  using a = await openDevice({ threads: 1 });
  using b = await Device.open({ library: a.info().library, threads: 1 });
  const { message, operation } = assertThrows(
    () => matmul(a.ones([2, 3]), b.ones([3, 4])),
    DeviceError,
  );
  assertEquals(operation, "matmul");
  for (const part of ["Cannot matmul [2, 3] and [3, 4]", "two devices", "device.from("]) {
    assertStringIncludes(message, part);
  }
});
