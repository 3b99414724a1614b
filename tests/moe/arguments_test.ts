import { assertEquals, assertThrows } from "@std/assert";
import {
  ConfigError,
  DenseRouter,
  ExpertChoiceRouter,
  HashRouter,
  mean,
  MoE,
  ReluRouter,
  type Router,
  type Routing,
  routingOf,
  ShapeMismatchError,
  SigmoidRouter,
  StepState,
  type Tensor,
  TopKRouter,
} from "@remoe/remoe";
import { openDevice } from "../tensor/open_device.ts";

const SIZES = { hidden: 8, experts: 4 };
const MADE = [
  ReluRouter,
  TopKRouter,
  DenseRouter,
  HashRouter,
  ExpertChoiceRouter,
  SigmoidRouter,
] as const;
const NO_SIZES = [0, -1, 1.5, NaN, Infinity, 2 ** 31, "2", null, undefined];

/** A user-defined router whose gates the test sets. */
class GivenGates implements Router {
  readonly hidden = 8;
  readonly experts = 4;
  readonly active = 1;
  constructor(readonly gates: () => Tensor) {}
  route<T extends number>(): Routing<T> {
    return { ...routingOf(this.gates() as never), gates: this.gates() as never };
  }
  parameters() {
    return [];
  }
  [Symbol.dispose]() {}
}

Deno.test("routers refuse invalid sizes and settings", async () => {
  using device = await openDevice();
  for (const Made of MADE) {
    assertThrows(() => new Made(device, undefined as never), TypeError, "options are undefined");
    for (const name of ["hidden", "experts"]) {
      for (const wrong of NO_SIZES) {
        const options = { ...SIZES, [name]: wrong } as typeof SIZES;
        assertThrows(() => new Made(device, options), ConfigError, "Cannot");
      }
    }
  }
  const relu = (options: object) => () => new ReluRouter(device, { ...SIZES, ...options });
  assertThrows(relu({ balance: "loud" }), TypeError, 'balance is "loud"');
  assertThrows(relu({ alpha: 0 }), ConfigError, "alpha is 0");
  assertThrows(relu({ alpha: 0.5 }), ConfigError, "alpha is 0.5");
  assertThrows(relu({ lambda: NaN }), ConfigError, "lambda is NaN");
  assertThrows(relu({ active: "1" }), ConfigError, "1 of 4 experts");
  assertThrows(relu({ layers: 0 }), ConfigError, "layers is 0");
  assertThrows(relu({ state: {} }), TypeError, "no StepState");
  const topk = (options: object) => () => new TopKRouter(device, { ...SIZES, ...options });
  assertThrows(topk({ balanceCoefficient: -1 }), ConfigError, "balanceCoefficient is -1");
  assertEquals(device.statistics().blocks, 0);
});

Deno.test("a router's sizes cannot be changed from outside", async () => {
  using device = await openDevice();
  for (const Made of MADE) {
    using router = new Made(device, SIZES);
    for (const name of ["hidden", "experts", "active"] as const) {
      const value = router[name];
      assertThrows(() => Object.assign(router, { [name]: 1000 }), TypeError);
      assertEquals<number>(router[name], value);
    }
  }
});

Deno.test("`adapt()` accepts only a number", async () => {
  using device = await openDevice();
  using router = new ReluRouter(device, SIZES);
  for (const wrong of [NaN, Infinity, "0.5", undefined]) {
    assertThrows(() => router.adapt(wrong as number), RangeError, "sparsity is");
  }
});

Deno.test("`MoE` refuses gates that are not one per token and expert", async () => {
  using device = await openDevice();
  const x = device.ones([5, 8]);
  for (const shape of [[5, 3], [4, 4], [5, 1], [5, 8], [6, 4]]) {
    using layer = new MoE(device, {
      router: new GivenGates(() => device.ones(shape)),
      hidden: 8,
      width: 4,
    });
    assertThrows(() => layer.forward(x), ShapeMismatchError, "must give [5, 4]");
  }
  using layer = new MoE(device, {
    router: new GivenGates(() => device.tokens([1])),
    hidden: 8,
    width: 4,
  });
  assertThrows(() => layer.forward(x), TypeError, "i32");
});

Deno.test("`MoE` refuses invalid settings", async () => {
  using device = await openDevice();
  using router = new ReluRouter(device, SIZES);
  const { blocks } = device.statistics();
  const make = (options: object) => () =>
    new MoE(device, { router, hidden: 8, width: 4, ...options });
  for (const wrong of NO_SIZES) assertThrows(make({ width: wrong }), ConfigError, "width");
  assertThrows(make({ router: {} }), ConfigError, "router is");
  assertThrows(make({ deviation: NaN }), ConfigError, "deviation is NaN");
  assertThrows(make({ layer: -1 }), RangeError, "layer is -1");
  using state = new StepState(device, { layers: 1, experts: 4 });
  assertThrows(make({ state, layer: 1 }), ConfigError, "layer 1");
  assertEquals(device.statistics().blocks, blocks + 1);
  const kept = { rows: 0.5 };
  assertThrows(make({ kept }), RangeError, "kept.rows is 0.5");
  assertThrows(make({ kept: null }), RangeError, "kept.rows is undefined");
  assertThrows(make({ name: 3 }), TypeError, "name is 3");
  assertEquals(device.statistics().blocks, blocks + 1);
  kept.rows = 1;
  using layer = new MoE(device, { router, hidden: 8, width: 4, kept });
  kept.rows = 0.5;
  assertThrows(() => layer.forward(device.ones([2, 8])), RangeError, "kept.rows is 0.5");
});

Deno.test("`StepState` refuses non-numbers and what lies outside its buffer", async () => {
  using device = await openDevice();
  for (const wrong of [0, -1, 1.5, NaN, 2 ** 31, "2", null]) {
    const [size] = [wrong as number];
    assertThrows(() => new StepState(device, { experts: size }), ConfigError, "experts is");
    assertThrows(() => new StepState(device, { layers: size }), ConfigError, "layers is");
  }
  assertThrows(() => new StepState(device, { lambda: -1 }), ConfigError, "lambda is -1");
  assertEquals(device.statistics().blocks, 0);
  using state = new StepState(device);
  const rule = { active: 1, tokens: 4, alpha: 1.2, floor: 0, ceiling: 1, adapt: true };
  for (const name of ["active", "tokens", "alpha", "floor", "ceiling"]) {
    assertThrows(() => state.updateLambda({ ...rule, [name]: NaN }), ConfigError, `${name} is NaN`);
  }
  assertThrows(() => state.setLambda(undefined as never), ConfigError, "lambda is undefined");
  assertThrows(() => state.updateLambda({ ...rule, alpha: 0.5 }), ConfigError, "alpha is 0.5");
  const many = { ...rule, active: 2 };
  assertThrows(() => state.updateLambda(many), ConfigError, "active is 2, expected at most the 1");
  const crossed = { ...rule, floor: 2 };
  assertThrows(() => state.updateLambda(crossed), ConfigError, "floor is 2, expected at most the");
  const text = { ...rule, adapt: "false" as never };
  assertThrows(() => state.updateLambda(text), TypeError, 'adapt is "false"');
  const loss = mean(device.ones([2]));
  assertThrows(() => state.addLoss(loss, NaN), RangeError, "share is NaN");
  assertThrows(() => state.addLoss(device.ones([2]) as never, 1), ShapeMismatchError, "a scalar");
  assertThrows(() => Object.assign(state, { layers: 1000 }), TypeError);
  state[Symbol.dispose]();
  assertThrows(() => state.begin(), ReferenceError, "Cannot");
  assertThrows(() => state.lambda, ReferenceError, "Cannot");
});

Deno.test("a routing's counts cannot be replaced", async () => {
  using device = await openDevice();
  using router = new ReluRouter(device, SIZES);
  const routing = router.route(device.ones([2, 8]));
  const counts = device.tokens([1]);
  assertThrows(() => Object.assign(routing, { counts }), TypeError, "read only");
});
