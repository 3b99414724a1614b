import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type Device,
  matmul,
  meanSquaredError,
  MoE,
  type Parameter,
  read,
  relu,
  ReluRouter,
  type Router,
  routingOf,
  StepState,
  type Tensor,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";

const [TOKENS, HIDDEN, EXPERTS] = [24, 16, 4];

/** ReLU routing of public operations, with the L1 term. */
function ownRouter(
  device: Device,
  state: StepState,
  balance: "load" | "plain",
): Router & { readonly weight: Parameter<readonly [number, number]> } {
  const weight = device.parameter([HIDDEN, EXPERTS], { name: "own.weight" });
  return {
    ...{ hidden: HIDDEN, experts: EXPERTS, active: 1, weight },
    route<T extends number>(x: Tensor<"f32", readonly [T, number]>) {
      return routingOf(relu(matmul(x, weight)), { regularization: { state, balance } });
    },
    parameters: () => [weight],
    [Symbol.dispose]: () => weight[Symbol.dispose](),
  };
}

for (const balance of ["load", "plain"] as const) {
  Deno.test(`a user's gates get the gradient of the ReLU router's L1 term: ${balance}`, async () => {
    using device = await openDevice({ threads: 1, seed: 4 });
    using state = new StepState(device, { layers: 3, experts: EXPERTS, lambda: 0.7 });
    using own = ownRouter(device, state, balance);
    using fused = new ReluRouter(device, {
      hidden: HIDDEN,
      experts: EXPERTS,
      balance,
      layers: 3,
      state,
    });
    write(own.weight, await read(fused.weight));
    const x = device.normal([TOKENS, HIDDEN]), y = device.normal([TOKENS, HIDDEN]);
    using layers = new DisposableStack();
    const options = { hidden: HIDDEN, width: 8, deviation: 0.3, state };
    const made = [own, fused as unknown as Router].map((router) =>
      layers.use(new MoE(device, { ...options, router }))
    );
    const weights = [...made[0]!.parameters()];
    for (const [i, parameter] of [...made[1]!.parameters()].entries()) {
      write(parameter, await read(weights[i]!));
    }
    const results = [];
    for (const layer of made) {
      using tape = device.record();
      state.begin();
      const { output, routing } = layer.forward(x);
      tape.backward(meanSquaredError(output, y), { scale: 0.5 });
      state.updateLambda({
        active: 1,
        tokens: TOKENS,
        alpha: 1,
        floor: 0,
        ceiling: 1e4,
        adapt: false,
      });
      const [weight] = [...layer.router.parameters()];
      results.push({
        gradient: await read(weight!.gradient),
        regularization: await routing.regularization(),
        l1: state.read().l1,
      });
    }
    const [a, b] = results;
    assertClose(a!.gradient, b!.gradient, "gradient", 1e-5);
    assert(a!.regularization > 0);
    assertClose([a!.regularization], [b!.regularization], "regularisation", 1e-6);
    assertClose([a!.l1], [b!.l1], "recorded regularisation", 1e-6);
  });
}

Deno.test("a selected gate of 0 keeps the loss's gradient beside the L1 term", async () => {
  using device = await openDevice({ seed: 4 });
  using state = new StepState(device, { experts: 2, lambda: 1 });
  const gates = device.from([0, 1, 2, 0], [2, 2]);
  const selected = device.from([1, 1, 1, 0], [2, 2]);
  using tape = device.record();
  tape.watch(gates);
  const router: Router = {
    ...{ hidden: 4, experts: 2, active: 1 },
    route: () =>
      routingOf(gates, { selected, regularization: { state, balance: "plain" } }) as never,
    parameters: () => [],
    [Symbol.dispose]() {},
  };
  using moe = new MoE(device, { router, hidden: 4, width: 3, deviation: 1 });
  const { output } = moe.forward(device.ones([2, 4]));
  tape.backward(meanSquaredError(output, device.zeros([2, 4])));
  const gradient = await read(tape.gradient(gates));
  assert(gradient[0] !== 0, "selected, gate 0");
  assertEquals(gradient[3], 0, "not routed");
});

Deno.test("a regularisation that means nothing is refused", async () => {
  using device = await openDevice({ seed: 4 });
  using other = await openDevice({ seed: 4 });
  using state = new StepState(other, { experts: 2 });
  using own = new StepState(device, { experts: 2 });
  const gates = device.ones([2, 2]);
  assertThrows(() => routingOf(gates, { regularization: { state } }), Error, "regularise gates");
  assertThrows(
    () => routingOf(gates, { regularization: { state: own, balance: "none" as "load" } }),
    Error,
    "balance",
  );
  assertThrows(
    () => routingOf(gates, { regularization: { state: own, layers: 0 } }),
    Error,
    "layers",
  );
});
