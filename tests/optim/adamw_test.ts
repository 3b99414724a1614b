import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  AdamW,
  type AdamWOptions,
  ConfigError,
  type Device,
  Linear,
  meanSquaredError,
  MoE,
  type Parameter,
  read,
  ReluRouter,
  RmsNorm,
  square,
  StepState,
  sum,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { Random } from "../../kernels/cases/random.ts";
import { type AdamWState, adamwStep } from "../../kernels/cases/reference/adamw.ts";
import { openDevice } from "../tensor/open_device.ts";

const CONSTANTS = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };

/** A matrix, to which weight decay applies, and a scale, to which it does not. */
function makeParameters(device: Device, stack: DisposableStack): [Parameter, Parameter] {
  const matrix = stack.use(new Linear(device, { input: 5, output: 7, deviation: 1 }));
  const norm = stack.use(new RmsNorm(device, { hidden: 9 }));
  return [matrix.weight, [...norm.parameters()][0]!];
}

/** Compares ten steps of AdamW with its definition in float64. */
async function follow(
  options: AdamWOptions & { clip: number },
  gradientSize: number,
): Promise<void> {
  using device = await openDevice({ seed: 1 });
  using stack = new DisposableStack();
  const parameters = makeParameters(device, stack);
  using state = new StepState(device);
  using optimizer = new AdamW(device, parameters, { ...CONSTANTS, ...options, state });
  const references: AdamWState[] = [];
  for (const parameter of parameters) {
    references.push({
      master: Float64Array.from(await read(parameter)),
      moment1: new Float64Array(parameter.size),
      moment2: new Float64Array(parameter.size),
    });
  }
  const random = new Random("gradients");
  for (let step = 1; step <= 10; step++) {
    state.begin();
    optimizer.lr = 0.01 * step;
    const gradients = parameters.map(({ size }) => random.normal(size, { scale: gradientSize }));
    parameters.forEach((parameter, i) => write(parameter.gradient, gradients[i]!));
    optimizer.step();
    const squares = gradients.flatMap((gradient) => [...gradient]).reduce((s, g) => s + g * g, 0);
    const norm = Math.sqrt(squares);
    const clipScale = options.clip > 0 ? Math.min(1, options.clip / (norm + 1e-6)) : 1;
    const readout = state.read();
    assertAlmostEquals(readout.gradientNorm, norm, 1e-6 * norm);
    assertAlmostEquals(readout.clipScale, clipScale, 1e-6);
    references.forEach((reference, i) => {
      const weightDecay = parameters[i]!.decay ? CONSTANTS.weightDecay : 0;
      const gradient = Float64Array.from(gradients[i]!);
      const constants = { ...CONSTANTS, weightDecay };
      adamwStep(reference, gradient, step, optimizer.lr, clipScale, constants);
    });
  }
  assertEquals(optimizer.steps, 10);
  const moments = optimizer.moments();
  for (const [i, reference] of references.entries()) {
    const { parameter, first, second } = moments[i]!;
    assertEquals(parameter, parameters[i]);
    // Ten steps of four roundings each.
    assertClose(await read(parameter), reference.master, `parameter ${i}`, 3e-6);
    assertClose(await read(first), reference.moment1, `first moment ${i}`, 3e-6);
    assertClose(await read(second), reference.moment2, `second moment ${i}`, 3e-6);
  }
}

Deno.test("AdamW matches its definition over ten clipped steps", () => follow({ clip: 1 }, 2));

Deno.test("AdamW does not scale gradients below the clip", () => follow({ clip: 1e3 }, 2));

Deno.test("a clip of 0 does not clip", () => follow({ clip: 0 }, 50));

Deno.test("weight decay applies only to matrices", async () => {
  using device = await openDevice({ seed: 1 });
  using stack = new DisposableStack();
  const parameters = makeParameters(device, stack);
  assertEquals(parameters.map(({ decay }) => decay), [true, false]);
  const before = await Promise.all(parameters.map((parameter) => read(parameter)));
  using optimizer = new AdamW(device, parameters, { lr: 0.1, weightDecay: 0.5 });
  // No gradient has arrived since the last step, whatever it left in memory: only the decay acts.
  for (const parameter of parameters) {
    write(parameter.gradient, new Float32Array(parameter.size).fill(7));
    parameter.zeroGradient();
  }
  optimizer.step();
  assertClose(await read(parameters[0]), before[0]!.map((w) => 0.95 * w), "matrix", 1e-6);
  assertEquals(await read(parameters[1]), before[1]);
});

for (const bad of [NaN, Infinity, -Infinity]) {
  Deno.test(`a step with a gradient of ${bad} changes nothing, and the next one does`, async () => {
    using device = await openDevice({ seed: 1 });
    using stack = new DisposableStack();
    const parameters = makeParameters(device, stack);
    using state = new StepState(device);
    for (const shared of [{ state }, {}]) {
      using optimizer = new AdamW(device, parameters, { lr: 0.1, ...shared });
      const everything = async (): Promise<Float32Array[]> =>
        await Promise.all(
          optimizer.moments().flatMap(({ parameter, first, second }) =>
            [parameter, first, second].map((tensor) => read(tensor))
          ),
        );
      const step = (value: number): void => {
        state.begin();
        write(parameters[0].gradient, new Float32Array(parameters[0].size).fill(0.5));
        write(parameters[1].gradient, new Float32Array(parameters[1].size).fill(value));
        optimizer.step();
      };
      step(1);
      const before = await everything();
      step(bad);
      assertEquals(await everything(), before);
      if (shared.state) {
        const { notFinite, gradientNorm } = state.read();
        assertEquals([notFinite, Number.isFinite(gradientNorm)], [true, false]);
      }
      step(1);
      const after = await everything();
      assert(after.every((array, i) => array.every((value, j) => value !== before[i]![j])));
      if (shared.state) assertEquals(state.read().notFinite, false);
    }
  });
}

Deno.test("resumeAt() uncounts a skipped step", async () => {
  const afterwards: Float32Array[] = [];
  for (const bad of [false, true]) {
    using device = await openDevice({ seed: 2 });
    using stack = new DisposableStack();
    const [matrix] = makeParameters(device, stack);
    using state = new StepState(device);
    using optimizer = new AdamW(device, [matrix], { state });
    const step = (value: number): void => {
      state.begin();
      write(matrix.gradient, new Float32Array(matrix.size).fill(value));
      optimizer.step();
    };
    step(1);
    if (bad) {
      step(NaN);
      assertEquals([state.read().notFinite, optimizer.steps], [true, 2]);
      optimizer.resumeAt(optimizer.steps - 1);
    }
    step(0.5);
    assertEquals(optimizer.steps, 2);
    afterwards.push(await read(matrix));
  }
  assertEquals(afterwards[1], afterwards[0]);
});

Deno.test("step() clears the gradients", async () => {
  using device = await openDevice();
  using stack = new DisposableStack();
  const parameters = makeParameters(device, stack);
  using optimizer = new AdamW(device, parameters);
  for (const parameter of parameters) {
    write(parameter.gradient, new Float32Array(parameter.size).fill(1));
  }
  optimizer.step();
  for (const parameter of parameters) {
    assert((await read(parameter.gradient)).every((value) => value === 0));
  }
});

Deno.test("resumeAt() continues the bias corrections", async () => {
  using device = await openDevice({ seed: 1 });
  const weights = new Random("weights").normal(6);
  const gradients = Array.from({ length: 4 }, (_, i) => new Random(`gradient ${i}`).normal(6));
  const run = async (resume: boolean): Promise<Float32Array> => {
    using layer = new Linear(device, { input: 2, output: 3 });
    write(layer.weight, weights);
    let optimizer = new AdamW(device, layer.parameters(), { lr: 0.1 });
    for (const [i, gradient] of gradients.entries()) {
      if (resume && i === 2) {
        const saved = await Promise.all(
          optimizer.moments().flatMap(({ first, second }) => [read(first), read(second)]),
        );
        const { steps } = optimizer;
        optimizer[Symbol.dispose]();
        optimizer = new AdamW(device, layer.parameters(), { lr: 0.1 });
        optimizer.resumeAt(steps);
        const [moments] = optimizer.moments();
        write(moments!.first, saved[0]!);
        write(moments!.second, saved[1]!);
      }
      write(layer.weight.gradient, gradient);
      optimizer.step();
    }
    assertEquals(optimizer.steps, 4);
    optimizer[Symbol.dispose]();
    return await read(layer.weight);
  };
  assertEquals(await run(true), await run(false));
});

Deno.test("AdamW reduces a loss", async () => {
  using device = await openDevice({ seed: 2 });
  using layer = new Linear(device, { input: 4, output: 2 });
  using optimizer = new AdamW(device, layer.parameters(), { lr: 0.05, weightDecay: 0 });
  const x = device.normal([32, 4]);
  using solution = new Linear(device, { input: 4, output: 2, deviation: 1 });
  const y = solution.forward(x);
  let last = Infinity;
  for (let step = 0; step < 200; step++) {
    using tape = device.record();
    const loss = meanSquaredError(layer.forward(x), y);
    tape.backward(loss);
    optimizer.step();
    last = (await read(loss))[0]!;
  }
  assert(last < 1e-4, `${last}`);
});

Deno.test("AdamW refuses an empty list, and frees what it allocated", async () => {
  using device = await openDevice();
  assertThrows(() => new AdamW(device, []), TypeError, "no parameters");
  using layer = new Linear(device, { input: 4, output: 2 });
  void layer.weight.gradient;
  const { inUse } = device.statistics();
  const optimizer = new AdamW(device, layer.parameters());
  optimizer.step();
  assert(device.statistics().inUse > inUse);
  optimizer[Symbol.dispose]();
  assertEquals(device.statistics().inUse, inUse);
});

Deno.test("a parameter listed twice is refused: it would be updated twice per step", async () => {
  using device = await openDevice();
  using w = device.parameter([1], { name: "w", mean: 1, deviation: 0 });
  assertThrows(() => new AdamW(device, [w, w]), ConfigError, "w: it is listed twice");
  // Through two layers that share a router.
  using router = new ReluRouter(device, { hidden: 4, experts: 2, name: "shared" });
  using one = new MoE(device, { router, hidden: 4, width: 4 });
  using two = new MoE(device, { router, hidden: 4, width: 4 });
  const both = [...one.parameters(), ...two.parameters()];
  assertThrows(() => new AdamW(device, both), ConfigError, "shared: it is listed twice");
  const { blocks } = device.statistics();
  assertThrows(() => new AdamW(device, [w, 1 as never]), TypeError, "not a parameter");
  assertEquals(device.statistics().blocks, blocks);
});

Deno.test("out-of-range settings are refused", async () => {
  using device = await openDevice();
  using w = device.parameter([2]);
  const wrong: readonly (readonly [keyof AdamWOptions, unknown])[] = [
    ...(["lr", "weightDecay", "clip"] as const).flatMap((name) =>
      [-1, NaN, Infinity, "1", null].map((value) => [name, value] as const)
    ),
    ...(["beta1", "beta2"] as const).flatMap((name) =>
      [-0.1, 1, NaN, "0.9"].map((value) => [name, value] as const)
    ),
    ["epsilon", 0],
  ];
  for (const [name, value] of wrong) {
    const options = { [name]: value } as AdamWOptions;
    assertThrows(() => new AdamW(device, [w], options), ConfigError, `${name} is`);
  }
  using optimizer = new AdamW(device, [w]);
  for (const steps of [-1, 0.5, NaN, "3"]) {
    assertThrows(() => optimizer.resumeAt(steps as number), RangeError, "steps is");
  }
  optimizer.lr = NaN;
  assertThrows(() => optimizer.step(), ConfigError, "lr is NaN");
  assertEquals(optimizer.steps, 0);
});

Deno.test("an optimizer copies its parameter list, and fails once a parameter is disposed of", async () => {
  using device = await openDevice();
  const w = device.parameter([2]);
  using other = device.parameter([2]);
  const list: Parameter[] = [w];
  const optimizer = new AdamW(device, list);
  list.push(other);
  assertEquals(optimizer.moments().map(({ parameter }) => parameter), [w]);
  w[Symbol.dispose]();
  assertThrows(() => optimizer.step(), ReferenceError, "Cannot");
  assertThrows(() => new AdamW(device, [w]), ReferenceError, "Cannot");
  optimizer[Symbol.dispose]();
  optimizer[Symbol.dispose]();
  assertThrows(() => optimizer.step(), ReferenceError, "Cannot");
});

Deno.test("a step that would write to freed memory is refused and changes nothing", async () => {
  using device = await openDevice();
  const frees: Readonly<Record<string, (weight: Parameter, optimizer: AdamW) => void>> = {
    weight: (weight) => weight[Symbol.dispose](),
    gradient: (weight) => weight.gradient[Symbol.dispose](),
    moment: (_, optimizer) => optimizer.moments()[0]!.second[Symbol.dispose](),
    optimizer: (_, optimizer) => optimizer[Symbol.dispose](),
  };
  for (const [name, free] of Object.entries(frees)) {
    using weight = device.parameter([2]);
    using optimizer = new AdamW(device, [weight]);
    {
      using tape = device.record();
      tape.backward(sum(square(weight)));
    }
    free(weight, optimizer);
    assertThrows(() => optimizer.step(), ReferenceError, "after it was disposed of", name);
    assertEquals(optimizer.steps, 0, name);
  }
  using weight = device.parameter([2]);
  using state = new StepState(device);
  using optimizer = new AdamW(device, [weight], { state });
  state[Symbol.dispose]();
  assertThrows(() => optimizer.step(), ReferenceError, "the step's state after it was disposed of");
  assertEquals(optimizer.steps, 0);
});

Deno.test("an optimizer that fails to construct leaks no memory", async () => {
  using device = await openDevice();
  using weight = device.parameter([64]);
  using dead = device.parameter([64]);
  dead[Symbol.dispose]();
  const { blocks } = device.statistics();
  assertThrows(
    () => new AdamW(device, [weight, dead]),
    ReferenceError,
    "optimise parameter weight",
  );
  assertEquals(device.statistics().blocks, blocks);
});

Deno.test("the result of moments() cannot be redirected to another parameter", async () => {
  using device = await openDevice();
  using weight = device.parameter([2]);
  using optimizer = new AdamW(device, [weight]);
  const moments = optimizer.moments() as unknown as Record<string, unknown>[];
  assertThrows(() => moments.length = 0, TypeError);
  assertThrows(() => moments[0]!.parameter = device.parameter([4]), TypeError);
  optimizer.step();
  assertEquals(optimizer.steps, 1);
});

Deno.test("`AdamW` refuses numbers that round to 0, 1 or infinity in fp32", async () => {
  using device = await openDevice();
  using weight = device.parameter([2]);
  const { blocks } = device.statistics();
  for (const [name, wrong] of [["epsilon", 1e-60], ["beta2", 1 - 1e-12], ["lr", 1e300]] as const) {
    const options = { [name]: wrong };
    assertThrows(() => new AdamW(device, [weight], options), ConfigError, `${name} is ${wrong}`);
  }
  assertEquals(device.statistics().blocks, blocks);
});

Deno.test("AdamW uses exactly the state it checked", async () => {
  using device = await openDevice();
  using other = await openDevice();
  using weight = device.parameter([4]);
  using own = new StepState(device), foreign = new StepState(other);
  let reads = 0;
  const options = {
    get state() {
      return reads++ < 2 ? own : foreign;
    },
  };
  using optimizer = new AdamW(device, [weight], options);
  optimizer.step();
  assertEquals([reads, optimizer.steps], [1, 1]);
});
