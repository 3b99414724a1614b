import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AdamW,
  checkGradient,
  type Device,
  matmul,
  meanSquaredError,
  MoE,
  multiply,
  type Parameter,
  read,
  relu,
  ReluRouter,
  type Router,
  type Routing,
  routingOf,
  ShapeMismatchError,
  StepState,
  type Tensor,
  TopKRouter,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";

/** ReLU routing built from public operations, without the fused kernel. */
class PlainReluRouter implements Router {
  readonly hidden = 16;
  readonly experts = 4;
  readonly active = 1;
  readonly weight: Parameter<readonly [number, number]>;

  constructor(device: Device) {
    this.weight = device.parameter([16, 4] as readonly [number, number], { name: "own.weight" });
  }

  route<T extends number>(x: Tensor<"f32", readonly [T, number]>): Routing<T> {
    const gates: Tensor<"f32", readonly [T, number]> = relu(matmul(x, this.weight));
    return routingOf(gates);
  }

  parameters(): Parameter[] {
    return [this.weight];
  }

  [Symbol.dispose](): void {
    this.weight[Symbol.dispose]();
  }
}

Deno.test("a router built from public operations matches the fused one", async () => {
  using device = await openDevice({ threads: 1, seed: 4 });
  using own = new PlainReluRouter(device);
  using fused = new ReluRouter(device, { hidden: 16, experts: 4, lambda: 0 }) as
    & Router
    & ReluRouter;
  write(own.weight, await read(fused.weight));
  const x = device.normal([24, 16]), y = device.normal([24, 16]);
  using layers = new DisposableStack();
  const first = layers.use(new MoE(device, { router: own, hidden: 16, width: 8, deviation: 0.3 }));
  const second = layers.use(new MoE(device, { router: fused, hidden: 16, width: 8 }));
  const weights = [...first.parameters()];
  for (const [i, parameter] of [...second.parameters()].entries()) {
    write(parameter, await read(weights[i]!));
  }
  const results = [];
  for (const layer of [first, second]) {
    using tape = device.record();
    const { output, routing } = layer.forward(x);
    tape.backward(meanSquaredError(output, y));
    results.push({
      output: await read(output),
      counts: await read(routing.counts),
      sparsity: await routing.sparsity(),
      regularization: layer === first ? await routing.regularization() : 0,
      gradient: await read([...layer.router.parameters()][0]!.gradient),
    });
  }
  const [a, b] = results;
  assertClose(a!.output, b!.output, "output", 1e-5);
  assertEquals(a!.counts, b!.counts);
  assertEquals([a!.sparsity, a!.regularization], [b!.sparsity, 0]);
  assert(a!.gradient.some((value) => value !== 0));
  assertClose(a!.gradient, b!.gradient, "gradient", 1e-4);
});

Deno.test("a user-defined router trains, and its statistics enter the step state", async () => {
  using device = await openDevice({ threads: 1, seed: 4 });
  using router = new PlainReluRouter(device);
  using state = new StepState(device, { experts: 4 });
  using layer = new MoE(device, { router, hidden: 16, width: 8, deviation: 0.3, state });
  using optimizer = new AdamW(device, layer.parameters(), { lr: 1e-2, state });
  const x = device.normal([24, 16]), y = device.normal([24, 16]);
  const losses: number[] = [];
  for (let step = 0; step < 30; step++) {
    using tape = device.record();
    state.begin();
    const { output, routing } = layer.forward(x);
    const loss = meanSquaredError(output, y);
    tape.backward(loss);
    optimizer.step();
    losses.push((await read(loss))[0]!);
    assertEquals([...state.read().layers[0]!.counts], [...await read(routing.counts)]);
  }
  assert(losses.at(-1)! < 0.8 * losses[0]!, `${losses[0]} to ${losses.at(-1)}`);
});

Deno.test("gates need two axes", async () => {
  using device = await openDevice({ threads: 1 });
  const gates = device.ones([3]) as unknown as Tensor<"f32", readonly [number, number]>;
  assertThrows(() => routingOf(gates), ShapeMismatchError, "[3]");
});

Deno.test("hidden states may serve as gates: both gradients count", async () => {
  using device = await openDevice({ seed: 3 });
  const router: Router = {
    hidden: 8,
    experts: 8,
    active: 8,
    route: (x) => routingOf(x),
    parameters: () => [],
    [Symbol.dispose]() {},
  };
  using moe = new MoE(device, { router, hidden: 8, width: 4, deviation: 0.5 });
  const x = device.uniform([6, 8] as readonly [number, number], { low: 0.5, high: 1.5 });
  const worst = await checkGradient((states) => moe.forward(states).output, [x]);
  assert(worst.error < 0.01, `off by ${worst.error}`);
});

Deno.test("a router's sizes are read once, so later changes cannot corrupt memory", async () => {
  using device = await openDevice();
  using state = new StepState(device, { layers: 1, experts: 2 });
  using wide = new ReluRouter(device, { hidden: 4, experts: 64 });
  let reads = 0;
  const router: Router = {
    hidden: 4,
    active: 1,
    get experts() {
      return reads++ < 2 ? 2 : 64;
    },
    route: (x) => wide.route(x as never) as never,
    parameters: () => wide.parameters(),
    [Symbol.dispose]() {},
  };
  const make = () => new MoE(device, { router, hidden: 4, width: 4, state });
  using layer = make();
  using _tape = device.record();
  assertThrows(() => layer.forward(device.ones([16, 4])), ShapeMismatchError, "[16, 64]");
  assertEquals(reads, 1);
});

Deno.test("statistics of a routing overridden by another object are refused", async () => {
  using device = await openDevice();
  using state = new StepState(device, { experts: 4 });
  using inner = new ReluRouter(device, { hidden: 4, experts: 4 });
  const mask = device.from([1, 0, 0, 0], [1, 4]);
  const x = device.normal([16, 4]);
  const layerWith = (route: (routing: Routing) => Routing, recorded = true) => {
    const router = {
      ...{ hidden: 4, experts: 4, active: 1, parameters: () => inner.parameters() },
      route: (x: Tensor<"f32", readonly [number, number]>) => route(inner.route(x as never)),
      [Symbol.dispose]() {},
    } as Router;
    return new MoE(device, { router, hidden: 4, width: 4, ...recorded ? { state } : {} });
  };
  const overrides: ((routing: Routing) => Record<string, unknown>)[] = [
    ({ gates }) => ({ gates: multiply(gates, mask) }),
    () => ({ counts: device.tokens([7]) }),
    () => ({ sums: device.full([1], 1) }),
    () => ({ balance: 99 }),
  ];
  for (const override of overrides) {
    const route = (routing: Routing) =>
      Object.create(
        routing,
        Object.fromEntries(Object.entries(override(routing)).map(([k, value]) => [k, { value }])),
      ) as Routing;
    using layer = layerWith(route);
    using _tape = device.record();
    assertThrows(() => layer.forward(x), TypeError, "routingOf(gates)");
    using alone = layerWith(route, false);
    assertEquals(alone.forward(x).output.shape, [16, 4]);
  }
  using layer = layerWith(({ gates }) => routingOf(multiply(gates, mask)));
  state.begin();
  using _tape = device.record();
  const { routing } = layer.forward(x);
  const open = [...await read(routing.gates)].filter((gate) => gate !== 0).length;
  assertEquals([...state.read().layers[0]!.counts], [open, 0, 0, 0]);
});

Deno.test("a subclass that misreports its sizes does not change what kernels are told", async () => {
  using device = await openDevice();
  class Wide extends ReluRouter {
    override get experts(): number {
      return 512;
    }
    override get hidden(): number {
      return 4096;
    }
  }
  class WideTopK extends TopKRouter {
    override get experts(): number {
      return 512;
    }
    override get active(): number {
      return 100;
    }
  }
  const options = { hidden: 4, experts: 2 };
  using relu = new Wide(device, options);
  using topk = new WideTopK(device, options);
  const near = Array.from({ length: 8 }, () => device.full([48], 1));
  for (const router of [relu, topk]) {
    using tape = device.record();
    const x = tape.watch(device.ones([16, 4]));
    const { gates, counts } = router.route(x);
    assertEquals([gates.shape, counts.shape], [[16, 2], [2]] as never);
    tape.backward(meanSquaredError(gates, device.zeros([16, 2]) as typeof gates));
  }
  for (const values of near) assertEquals(new Set(await read(values)), new Set([1]));
});

Deno.test("a state's sizes are those of its memory, even if shadowed", async () => {
  using device = await openDevice();
  using state = new StepState(device, { layers: 1, experts: 2 });
  const near = Array.from({ length: 8 }, () => device.full([48], 1));
  Object.defineProperty(state, "experts", { value: 512 });
  state.begin();
  assertEquals(state.read().layers[0]!.counts.length, 2);
  for (const values of near) assertEquals(new Set(await read(values)), new Set([1]));
});
