import { assertType, type IsExact } from "@std/testing/types";
import {
  AdamW,
  cast,
  crossEntropy,
  DenseRouter,
  type Device,
  dim,
  embedding,
  ExpertChoiceRouter,
  FeedForward,
  type FeedForwardLayer,
  HashRouter,
  LanguageModel,
  Linear,
  LoryRouter,
  matmul,
  MoE,
  type Parameter,
  type Real,
  relu,
  ReluRouter,
  type Router,
  routingOf,
  type Tensor,
  TopKRouter,
} from "../../mod.ts";

declare const device: Device;
declare const n: number;

function unchecked(_body: () => void): void {}

Deno.test("Linear's type has its sizes", () => {
  unchecked(() => {
    const layer = new Linear(device, { input: 8, output: 3 });
    const y = layer.forward(device.zeros([5, 8]));
    assertType<IsExact<typeof y.shape, readonly [5, 3]>>(true);
    assertType<IsExact<typeof layer.weight.shape, readonly [8, 3]>>(true);
    // @ts-expect-error 7 is not 8
    layer.forward(device.zeros([5, 7]));
  });
});

Deno.test("a router's type has its hidden size and expert count", () => {
  unchecked(() => {
    const router = new ReluRouter(device, { hidden: 64, experts: 8 });
    const { gates, counts } = router.route(device.zeros([512, 64]));
    assertType<IsExact<typeof gates.shape, readonly [512, 8]>>(true);
    assertType<IsExact<typeof counts, Tensor<"i32", readonly [8]>>>(true);
    const topk = new TopKRouter(device, { hidden: 64, experts: 8 });
    const list: Router<64, 8>[] = [
      router,
      topk,
      new DenseRouter(device, { hidden: 64, experts: 8 }),
      new HashRouter(device, { hidden: 64, experts: 8 }),
      new ExpertChoiceRouter(device, { hidden: 64, experts: 8 }),
    ];
    void list;
    const single = new DenseRouter(device, { hidden: 64, experts: 1 });
    assertType<IsExact<typeof single.experts, 1>>(true);
    // @ts-expect-error 65 is not 64
    router.route(device.zeros([512, 65]));
    // @ts-expect-error 65 is not 64
    topk.route(device.zeros([512, 65]));
    // @ts-expect-error one expert is not eight
    list.push(single);
  });
});

Deno.test("MoE refuses a router or an input with another hidden size", () => {
  unchecked(() => {
    const router = new ReluRouter(device, { hidden: 64, experts: 8 });
    const layer = new MoE(device, { router, hidden: 64, width: 256 });
    const { output, routing } = layer.forward(device.zeros([512, 64]));
    assertType<IsExact<typeof output.shape, readonly [512, 64]>>(true);
    assertType<IsExact<typeof routing.gates.shape, readonly [512, 8]>>(true);
    // @ts-expect-error the router's hidden size is 64
    new MoE(device, { router, hidden: 128, width: 256 });
    // @ts-expect-error 65 is not 64
    layer.forward(device.zeros([512, 65]));
    // @ts-expect-error three axes
    layer.forward(device.zeros([2, 512, 64]));
  });
});

Deno.test("MoE takes sizes known at run time, and named ones", () => {
  unchecked(() => {
    const layer = new MoE(device, {
      router: new TopKRouter(device, { hidden: n, experts: 8 }),
      hidden: n,
      width: 32,
    });
    const { output } = layer.forward(device.zeros([3, n]));
    assertType<IsExact<typeof output.shape, readonly [3, number]>>(true);
    const hidden = dim("hidden", n);
    const width = dim("width", n);
    const router = new ReluRouter(device, { hidden, experts: 8 });
    new MoE(device, { router, hidden, width });
    // @ts-expect-error the width is not the hidden size
    new MoE(device, { router, hidden: width, width });
  });
});

Deno.test("crossEntropy() and embedding() tie their sizes together", () => {
  unchecked(() => {
    const x = device.zeros([4, 8]);
    const head = device.zeros([8, 257]);
    const { loss, tokenLoss } = crossEntropy(x, head, device.tokens([1, 2, 3, 4] as const));
    assertType<IsExact<typeof loss.shape, readonly []>>(true);
    assertType<IsExact<typeof tokenLoss.shape, readonly [4]>>(true);
    const y = embedding(device.zeros([257, 8]), device.tokens([1, 2] as const));
    assertType<IsExact<typeof y.shape, readonly [2, 8]>>(true);
    // @ts-expect-error 5 targets for 4 tokens
    crossEntropy(x, head, device.tokens([1, 2, 3, 4, 5] as const));
    // @ts-expect-error the head is of another hidden size
    crossEntropy(x, device.zeros([9, 257]), device.tokens([1, 2, 3, 4] as const));
    // @ts-expect-error tokens are whole numbers
    embedding(device.zeros([257, 8]), device.zeros([2]));
  });
});

Deno.test("layers and parameters fit the interfaces that take them", () => {
  unchecked(() => {
    const layer: FeedForwardLayer = new FeedForward(device, { hidden: 8 });
    const parameters: Iterable<Parameter> = layer.parameters();
    new AdamW(device, parameters);
    // @ts-expect-error a tensor is no parameter
    new AdamW(device, [device.zeros([2, 2])]);
  });
});

Deno.test("layers of bf16 and f32 do not mix", () => {
  unchecked(() => {
    const wide = device.zeros([4, 8]), half = cast(wide, "bf16");
    const linear = new Linear(device, { input: 8, output: 3, dtype: "bf16" });
    const y = linear.forward(half);
    assertType<IsExact<typeof y, Tensor<"bf16", readonly [4, 3]>>>(true);
    assertType<IsExact<typeof linear.weight, Parameter<readonly [8, 3]>>>(true);
    // @ts-expect-error the layer computes in bf16
    linear.forward(wide);
    // @ts-expect-error the layer computes in f32
    new Linear(device, { input: 8, output: 3 }).forward(half);
    const router = new ReluRouter(device, { hidden: 8, experts: 2 });
    const gates = router.route(half).gates;
    assertType<IsExact<typeof gates, Tensor<"f32", readonly [4, 2]>>>(true);
    const layer = new MoE(device, { router, hidden: 8, width: 4, dtype: "bf16" });
    const { output } = layer.forward(half);
    assertType<IsExact<typeof output, Tensor<"bf16", readonly [4, 8]>>>(true);
    // @ts-expect-error the layer computes in bf16
    layer.forward(wide);
    // @ts-expect-error no type that layers compute in
    new MoE(device, { router, hidden: 8, width: 4, dtype: "f64" });
    const sizes = { vocabulary: 9, layers: 1, hidden: 8, heads: 2 };
    const model = new LanguageModel(device, {
      ...sizes,
      dtype: "bf16",
      feedForward: () => new FeedForward(device, { hidden: 8, dtype: "bf16" }),
    });
    const logits = model.logits(device.tokens([1, 2] as const), 2);
    assertType<IsExact<typeof logits, Tensor<"f32", readonly [2, number]>>>(true);
    assertType<IsExact<typeof model.dtype, "bf16">>(true);
    const plain = new LanguageModel(device, {
      ...sizes,
      feedForward: () => new FeedForward(device, { hidden: 8 }),
    });
    assertType<IsExact<typeof plain.dtype, "f32">>(true);
    // @ts-expect-error the cache is for another type
    model.decode([1], plain.openCache(1, 4));
    const f32Half = () => new FeedForward(device, { hidden: 8 });
    // @ts-expect-error the second halves compute in f32
    new LanguageModel(device, { ...sizes, dtype: "bf16", feedForward: f32Half });
    const bf16Half = () => new FeedForward(device, { hidden: 8, dtype: "bf16" });
    // @ts-expect-error the second halves compute in bf16
    new LanguageModel(device, { ...sizes, feedForward: bf16Half });
    const either: LanguageModel<Real>[] = [model, plain];
    void either;
  });
});

Deno.test("routers of the library fit those of sizes known at run time, and the other way round", () => {
  unchecked(() => {
    const list: Router[] = [
      new ReluRouter(device, { hidden: 64, experts: 8 }),
      new HashRouter(device, { hidden: 64, experts: 8 }),
      new LoryRouter(device, { hidden: 64, experts: 8 }),
    ];
    new MoE(device, { router: list[0]!, hidden: 64, width: 8, dtype: "bf16" });
    // One as users have written them: of f32 alone.
    const own: Router<64, 8> = {
      ...{ hidden: 64, experts: 8, active: 1 } as const,
      route: <T extends number>(x: Tensor<"f32", readonly [T, 64]>) =>
        routingOf(relu(matmul(x, device.zeros([64, 8])))),
      parameters: () => [],
      [Symbol.dispose]: () => {},
    };
    new MoE(device, { router: own, hidden: 64, width: 8, dtype: "bf16" });
  });
});
