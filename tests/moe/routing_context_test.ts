import { assertEquals, assertThrows } from "@std/assert";
import {
  type Device,
  LanguageModel,
  MoE,
  type Parameter,
  read,
  type Router,
  type Routing,
  type RoutingContext,
  routingOf,
  ShapeMismatchError,
  type Tensor,
} from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

const [HIDDEN, EXPERTS] = [8, 2];

/** What a router was told, without tensors. */
type Told = Omit<RoutingContext, "tokens" | "onRouting"> & {
  readonly tokens: readonly number[] | null;
};

/** Sends every token to every expert and remembers what it was told. */
class ListeningRouter implements Router {
  readonly hidden = HIDDEN;
  readonly experts = EXPERTS;
  readonly active = EXPERTS;
  readonly told: Promise<Told>[] = [];

  constructor(readonly device: Device) {}

  route<T extends number>(
    x: Tensor<"f32", readonly [T, number]>,
    { tokens, onRouting: _, ...rest }: RoutingContext,
  ): Routing<T, number> {
    this.told.push(
      (async () => ({ ...rest, tokens: tokens === null ? null : [...await read(tokens)] }))(),
    );
    return routingOf(this.device.full([x.shape[0], EXPERTS], 1));
  }

  parameters(): Iterable<Parameter> {
    return [];
  }

  [Symbol.dispose](): void {}
}

function makeModel(device: Device, router: Router, layers = 2): LanguageModel {
  return new LanguageModel(device, {
    ...{ vocabulary: 10, layers, hidden: HIDDEN, heads: 2 },
    feedForward: () => {
      const moe = new MoE(device, { router, hidden: HIDDEN, width: 4 });
      return {
        forward: (x, context) => moe.forward(x, context).output,
        parameters: () => moe.parameters(),
        [Symbol.dispose]: () => moe[Symbol.dispose](),
      };
    },
  });
}

Deno.test("a model tells its routers tokens, sequence, mode, step and layer", async () => {
  using device = await openDevice({ seed: 1 });
  const router = new ListeningRouter(device);
  using model = makeModel(device, router);
  const tokens = device.tokens([1, 2, 3, 4]);
  const targets = device.tokens([2, 3, 4, 5]);
  {
    using _tape = device.record();
    model.loss(tokens, targets, 2, { step: 7 });
  }
  using _scope = device.noGradient();
  model.logits(tokens, 4);
  const shared = { tokens: [1, 2, 3, 4], generation: null };
  assertEquals(await Promise.all(router.told), [
    { ...shared, sequence: 2, training: true, step: 7, layer: 0 },
    { ...shared, sequence: 2, training: true, step: 7, layer: 1 },
    { ...shared, sequence: 4, training: false, step: Infinity, layer: 0 },
    { ...shared, sequence: 4, training: false, step: Infinity, layer: 1 },
  ]);
});

Deno.test("a model tells its routers of prompts and of the tokens after them", async () => {
  using device = await openDevice({ seed: 1 });
  const router = new ListeningRouter(device);
  using model = makeModel(device, router, 1);
  using cache = model.openCache(2, 8);
  using _scope = device.noGradient();
  model.prefill([[1, 2, 3], [4]], cache);
  model.decode([5, 6], cache);
  model.extend([[7], [8, 9]], cache, [1, 0]);
  const shared = { training: false, step: Infinity, layer: 0 };
  const told = (await Promise.all(router.told)).map(({ generation, ...rest }) => {
    const { memory, ...given } = generation!;
    assertEquals(memory!.read(), null);
    return { ...rest, generation: given };
  });
  assertEquals(told, [
    {
      ...shared,
      tokens: [1, 2, 3, 4],
      sequence: 1,
      generation: { lengths: [0, 0], counts: [3, 1], scored: false },
    },
    {
      ...shared,
      tokens: [5, 6],
      sequence: 1,
      generation: { lengths: [3, 1], counts: [1, 1], scored: false },
    },
    {
      ...shared,
      tokens: [7, 8, 9],
      sequence: 1,
      generation: { lengths: [2, 4], counts: [1, 2], scored: false },
    },
  ]);
});

Deno.test("an observer sees the routing of every layer", async () => {
  using device = await openDevice({ seed: 1 });
  using model = makeModel(device, new ListeningRouter(device));
  using _scope = device.noGradient();
  const seen: [number, string][] = [];
  model.logits(device.tokens([1, 2, 3]), 3, {
    onRouting: (layer, { gates }) => seen.push([layer, gates.shape.join()]),
  });
  assertEquals(seen, [[0, "3,2"], [1, "3,2"]]);
});

Deno.test("a context of other tokens than the states is refused", async () => {
  using device = await openDevice({ seed: 1 });
  using moe = new MoE(device, { router: new ListeningRouter(device), hidden: HIDDEN, width: 4 });
  using _scope = device.noGradient();
  const x = device.normal([4, HIDDEN]);
  assertThrows(() => moe.forward(x, { sequence: 3 }), ShapeMismatchError, "divisor");
  assertThrows(
    () => moe.forward(x, { tokens: device.tokens([1, 2]) }),
    ShapeMismatchError,
    "each state needs its token's id",
  );
  assertThrows(() => moe.forward(x, { step: -1 }), RangeError, "step is -1");
});
