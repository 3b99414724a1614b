import { assert, assertEquals } from "@std/assert";
import {
  add,
  DenseRouter,
  type Device,
  divide,
  ExpertChoiceRouter,
  FeedForward,
  matmul,
  MoE,
  multiply,
  type Parameter,
  read,
  relu,
  ReluRouter,
  reshape,
  type Router,
  rows,
  softmax,
  sum,
  swiglu,
  type Tensor,
  TopKRouter,
  transpose,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";
import { contextOf } from "./context.ts";

const [TOKENS, HIDDEN, EXPERTS, WIDTH] = [24, 6, 5, 8] as const;

// Both sides are fp32 and sum in different orders, over at most 5 experts and 16 columns.
const TOLERANCE = 5e-6;

type States = Tensor<"f32", readonly [typeof TOKENS, typeof HIDDEN]>;

/** A layer's results and all gradients for one input, by name. */
type Outcome = Record<string, Float32Array>;

/** Runs a layer, weights its output by `weights`, and reads every gradient. */
async function outcomeOf(
  device: Device,
  x: States,
  weights: States,
  forward: (x: States) => Tensor<"f32", readonly [number, number]>,
  parameters: Iterable<Parameter>,
): Promise<Outcome> {
  using tape = device.record();
  tape.watch(x);
  const y = forward(x);
  tape.backward(sum(multiply(y as States, weights)));
  const outcome: Outcome = { output: await read(y), x: await read(tape.gradient(x)) };
  for (const parameter of parameters) outcome[parameter.name] = await read(parameter.gradient);
  return outcome;
}

function assertSame(actual: Outcome, expected: Outcome): void {
  assertEquals(Object.keys(actual).sort(), Object.keys(expected).sort());
  for (const [name, array] of Object.entries(expected)) {
    assert(array.some((value) => value !== 0), `${name} is all zero`);
    assertClose(actual[name]!, array, name, TOLERANCE);
  }
}

Deno.test("MoE with one expert and gate 1 is the dense feed-forward network", async () => {
  using device = await openDevice({ seed: 1 });
  using dense = new FeedForward(device, { hidden: HIDDEN, width: WIDTH, deviation: 0.5 });
  using router = new DenseRouter(device, { hidden: HIDDEN, experts: 1 });
  using moe = new MoE(device, { router, hidden: HIDDEN, width: WIDTH });
  const names = ["w1", "w2"];
  const [source, target] = [[...dense.parameters()], [...moe.parameters()]];
  for (let i = 0; i < 2; i++) write(target[i]!, await read(source[i]!));
  const x = device.normal([TOKENS, HIDDEN]);
  const weights = device.normal([TOKENS, HIDDEN]);
  const renamed = (outcome: Outcome, parameters: Parameter[]): Outcome => ({
    output: outcome.output!,
    x: outcome.x!,
    ...Object.fromEntries(parameters.map(({ name }, i) => [names[i]!, outcome[name]!])),
  });
  const run = async (
    forward: (x: States) => Tensor<"f32", readonly [number, number]>,
    parameters: Parameter[],
  ): Promise<Outcome> =>
    renamed(await outcomeOf(device, x, weights, forward, parameters), parameters);
  assertSame(
    await run((v) => moe.forward(v).output, target),
    await run((v) => dense.forward(v), source),
  );
});

/** The gates from tensor operations: the choice of experts is a constant, their weights are not. */
interface GatesByTensors {
  make(device: Device): Router<typeof HIDDEN, typeof EXPERTS>;
  gates(
    x: States,
    weight: Tensor<"f32", readonly [typeof HIDDEN, typeof EXPERTS]>,
    chosen: Tensor<"f32", readonly [typeof TOKENS, typeof EXPERTS]>,
  ): Tensor<"f32", readonly [typeof TOKENS, typeof EXPERTS]>;
}

const SIZES = { hidden: HIDDEN, experts: EXPERTS, deviation: 1 } as const;
const ROUTERS: Record<string, GatesByTensors> = {
  "ReLU routing": {
    make: (device) => new ReluRouter(device, { ...SIZES, balance: "none" }),
    gates: (x, weight) => relu(matmul(x, weight)),
  },
  "TopK routing with k = 1": {
    make: (device) => new TopKRouter(device, { ...SIZES, balanceCoefficient: 0 }),
    gates: (x, weight, chosen) => multiply(softmax(matmul(x, weight)), chosen),
  },
  "TopK routing with k = 3": {
    make: (device) => new TopKRouter(device, { ...SIZES, active: 3, balanceCoefficient: 0 }),
    gates: (x, weight, chosen) => multiply(softmax(matmul(x, weight)), chosen),
  },
  "expert choice with two experts per token": {
    make: (device) => new ExpertChoiceRouter(device, { ...SIZES, active: 2 }),
    gates: (x, weight, chosen) => multiply(softmax(matmul(x, weight)), chosen),
  },
  "expert choice of every token": {
    make: (device) => new ExpertChoiceRouter(device, { ...SIZES, active: EXPERTS }),
    gates: (x, weight) => softmax(matmul(x, weight)),
  },
  "TopK routing with k = 2, renormalised": {
    make: (device) =>
      new TopKRouter(device, { ...SIZES, active: 2, balanceCoefficient: 0, renormalize: true }),
    gates: (x, weight, chosen) => {
      const kept = multiply(softmax(matmul(x, weight)), chosen);
      return divide(kept, reshape(sum(kept, { axis: -1 }), [TOKENS, 1]));
    },
  },
};

/** Σ_e gate_e · FFN_e(x) with every expert run on every token. */
function denselyMasked(
  x: States,
  gates: Tensor<"f32", readonly [typeof TOKENS, typeof EXPERTS]>,
  w1: Tensor<"f32", readonly [number, number, number]>,
  w2: Tensor<"f32", readonly [number, number, number]>,
): States {
  const columns = transpose(gates);
  const results = Array.from({ length: EXPERTS }, (_, e): States => {
    const gateUp = reshape(rows<readonly [number, number]>(w1, e, e + 1), [HIDDEN, 2 * WIDTH]);
    const down = reshape(rows<readonly [number, number]>(w2, e, e + 1), [WIDTH, HIDDEN]);
    const gate = reshape(rows<readonly [number]>(columns, e, e + 1), [TOKENS, 1]);
    return multiply(gate, matmul(swiglu(matmul(x, gateUp)), down)) as States;
  });
  return results.reduce((total, result) => add(total, result));
}

for (const [name, { make, gates }] of Object.entries(ROUTERS)) {
  Deno.test(`MoE is the gate-weighted sum over all experts: ${name}`, async () => {
    using device = await openDevice({ seed: 2 });
    using router = make(device);
    using moe = new MoE(device, { router, hidden: HIDDEN, width: WIDTH, deviation: 0.5 });
    const x = device.normal([TOKENS, HIDDEN]);
    const weights = device.normal([TOKENS, HIDDEN]);
    const parameters = [...moe.parameters()];
    const [routerWeight, w1, w2] = parameters as [Parameter, Parameter, Parameter];
    const fused = await outcomeOf(device, x, weights, (v) => moe.forward(v).output, parameters);
    for (const parameter of parameters) parameter.zeroGradient();

    const chosen = await read(router.route(x, contextOf(device, TOKENS)).gates);
    const mask = device.from(chosen.map((gate) => gate > 0 ? 1 : 0), [TOKENS, EXPERTS]);
    const masked = await outcomeOf(
      device,
      x,
      weights,
      (v) =>
        denselyMasked(
          v,
          gates(v, routerWeight as Parameter<readonly [typeof HIDDEN, typeof EXPERTS]>, mask),
          w1 as Parameter<readonly [number, number, number]>,
          w2 as Parameter<readonly [number, number, number]>,
        ),
      parameters,
    );
    assertSame(fused, masked);
  });
}

/** The columns `[first, first + count)` of each row of a matrix. */
function columnsOf(
  matrix: Float32Array,
  width: number,
  first: number,
  count: number,
): number[] {
  const rowCount = matrix.length / width;
  return Array.from(
    { length: rowCount * count },
    (_, i) => matrix[Math.floor(i / count) * width + first + i % count]!,
  );
}

Deno.test("G experts of width W/G equal one of width W with its weights split", async () => {
  using device = await openDevice({ seed: 3 });
  const [granularity, narrow] = [4, WIDTH / 4];
  using one = new MoE(device, {
    router: new DenseRouter(device, { hidden: HIDDEN, experts: 1 }),
    hidden: HIDDEN,
    width: WIDTH,
    deviation: 0.5,
  });
  using many = new MoE(device, {
    router: new DenseRouter(device, { hidden: HIDDEN, experts: granularity }),
    hidden: HIDDEN,
    width: narrow,
  });
  const [w1, w2] = [...one.parameters()] as [Parameter, Parameter];
  const [split1, split2] = [...many.parameters()] as [Parameter, Parameter];
  const slices = (whole: Float32Array): number[] =>
    Array.from({ length: granularity }, (_, g) => g).flatMap((g) => {
      const gate = columnsOf(whole, 2 * WIDTH, g * narrow, narrow);
      const up = columnsOf(whole, 2 * WIDTH, WIDTH + g * narrow, narrow);
      // Row by row: gate | up.
      return Array.from({ length: HIDDEN }, (_, d) => [
        ...gate.slice(d * narrow, (d + 1) * narrow),
        ...up.slice(d * narrow, (d + 1) * narrow),
      ]).flat();
    });
  write(split1, slices(await read(w1)));
  // Down projections split by rows, which lie one after the other.
  write(split2, await read(w2));
  const x = device.normal([TOKENS, HIDDEN]);
  const weights = device.normal([TOKENS, HIDDEN]);
  const whole = await outcomeOf(device, x, weights, (v) => one.forward(v).output, [w1, w2]);
  const parts = await outcomeOf(device, x, weights, (v) => many.forward(v).output, [
    split1,
    split2,
  ]);
  assertClose(parts.output!, whole.output!, "output", TOLERANCE);
  assertClose(parts.x!, whole.x!, "gradient of x", TOLERANCE);
  assertClose(parts["experts.w1"]!, slices(whole["experts.w1"]!), "gradient of w1", TOLERANCE);
  assertClose(parts["experts.w2"]!, whole["experts.w2"]!, "gradient of w2", TOLERANCE);
});
