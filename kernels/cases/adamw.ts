import { DTypeCode, StateSlot, TensorWord } from "../../lib/ffi/mod.ts";
import { type AddressOf, type OperationCase, operationCase, output } from "./case.ts";
import { fromBfloat16, toBfloat16 } from "./random.ts";
import { type AdamWState, adamwStep } from "./reference/adamw.ts";
import { dot } from "./reference/reduction.ts";
import { rounded, type Tolerance, UNIT_ROUNDOFF } from "./tolerance.ts";

/** One parameter of an optimizer case. */
export interface ParameterOptions {
  /** Number of elements. */
  readonly elements: number;
  /** Whether weight decay applies. */
  readonly decays?: boolean;
  /** Whether its gradient is stored in bfloat16. */
  readonly bf16Gradient?: boolean;
}

/** Parameters and steps of an optimizer case. */
export interface AdamWCaseOptions {
  /** Names the case. */
  readonly label: string;
  /** The parameters. */
  readonly parameters: readonly ParameterOptions[];
  /** Steps, each with its own gradient. */
  readonly steps: number;
  /** Largest gradient norm; 0 does not clip. */
  readonly clip: number;
  /** Whether bfloat16 copies of the weights are kept. */
  readonly copies?: boolean;
  /** A value to put into the first gradient. */
  readonly poison?: number;
}

const OPTIONS = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 } as const;
const LEARNING_RATE = 1e-2;
/** Tensors start at multiples of this many elements: 64 bytes, even in bfloat16. */
const ALIGNMENT = 32;

/** The sum of squares is computed in fp64. */
const FLOAT64: Tolerance = { rtol: 1e-9, atol: 0 };

/** Where each parameter starts in the shared buffers, and the buffers' length. */
function layoutOf(parameters: readonly ParameterOptions[]): { starts: number[]; total: number } {
  const starts: number[] = [];
  let total = 0;
  for (const { elements } of parameters) {
    starts.push(total);
    total += Math.ceil(elements / ALIGNMENT) * ALIGNMENT;
  }
  return { starts, total };
}

type BufferName =
  | "master"
  | "moment1"
  | "moment2"
  | "copy"
  | "gradient"
  | "gradientBf16"
  | "tables"
  | "state";

/** One table per step: the same parameters with that step's gradient. */
function tablesOf(
  { parameters, steps, copies = false }: AdamWCaseOptions,
  at: AddressOf<BufferName>,
): BigUint64Array<ArrayBuffer> {
  const { starts, total } = layoutOf(parameters);
  const table = new BigUint64Array(steps * parameters.length * TensorWord.words);
  for (let step = 0; step < steps; step++) {
    parameters.forEach(({ elements, decays = false, bf16Gradient = false }, i) => {
      const row = (step * parameters.length + i) * TensorWord.words;
      const start = starts[i]!;
      const set = (word: number, value: bigint) => table[row + word] = value;
      const gradient = BigInt((step * total + start) * (bf16Gradient ? 2 : 4));
      const dtype = bf16Gradient ? DTypeCode.bf16 : DTypeCode.f32;
      set(TensorWord.master, at("master") + BigInt(4 * start));
      set(TensorWord.gradient, at(bf16Gradient ? "gradientBf16" : "gradient") + gradient);
      set(TensorWord.moment1, at("moment1") + BigInt(4 * start));
      set(TensorWord.moment2, at("moment2") + BigInt(4 * start));
      set(TensorWord.copy, copies ? at("copy") + BigInt(2 * start) : 0n);
      set(TensorWord.elements, BigInt(elements));
      set(TensorWord.flags, BigInt((decays ? 1 : 0) | (dtype << 8)));
    });
  }
  return table;
}

function bytesOf(words: BigUint64Array<ArrayBuffer> | Float64Array<ArrayBuffer>) {
  return new Uint8Array(words.buffer);
}

/** The slots that the host writes before a step. */
function slotsOf(step: number): Float64Array<ArrayBuffer> {
  const { beta1, beta2 } = OPTIONS;
  return Float64Array.of(LEARNING_RATE, 1 - beta1 ** step, 1 - beta2 ** step, step);
}

/**
 * A case of `remoe_gradient_norm` and `remoe_adamw` over several steps.
 *
 * @param options Parameters, steps, clipping.
 * @returns The case.
 */
export function adamwCase(options: AdamWCaseOptions): OperationCase {
  const { label, parameters, steps, clip, copies = false, poison } = options;
  const { total } = layoutOf(parameters);
  const elements = parameters.reduce((sum, parameter) => sum + parameter.elements, 0);
  const isFinite = poison === undefined;
  const gradientSize = clip > 0 ? Math.min(1, clip / Math.sqrt(elements)) : 1;
  return operationCase({
    name: `adamw ${label}, ${parameters.length} parameters, ${steps} steps, clip ${clip}`,
    operation: "adamw",
    symbols: ["remoe_gradient_norm", "remoe_adamw"],
    flops: 14 * elements * steps,
    bytes: (28 + (copies ? 2 : 0)) * elements * steps,
    mayBeUnsupported: parameters.some(({ bf16Gradient }) => bf16Gradient),
    inputs: (random) => {
      const gradient = random.normal(steps * total, { bf16: true });
      if (poison !== undefined) gradient[0] = poison;
      return {
        master: random.normal(total),
        moment1: new Float32Array(total),
        moment2: new Float32Array(total),
        gradient,
        gradientBf16: toBfloat16(gradient),
        tables: new Uint8Array(8 * TensorWord.words * parameters.length * steps),
        state: new Float64Array(StateSlot.header),
      };
    },
    // The update is learning_rate times a number near 1, accurate to some 20 roundings.
    outputs: {
      master: output([total], {
        rtol: 2 * steps * UNIT_ROUNDOFF,
        atol: 40 * steps * UNIT_ROUNDOFF * LEARNING_RATE,
      }),
      // A step adds a tenth of the gradient, whose size before clipping is 1.
      moment1: output([total], rounded(4, 0.3 * gradientSize)),
      moment2: output([total], rounded(6)),
      copy: output([total], { rtol: 0, atol: 0 }, "bf16"),
      state: output([StateSlot.header], FLOAT64, "f64"),
    },
    unwanted: copies ? [] : ["copy"],
    prepare(k, at) {
      k.writeBytes(at("tables"), bytesOf(tablesOf(options, at)));
    },
    call(k, at) {
      const { beta1, beta2, epsilon, weightDecay } = OPTIONS;
      const count = parameters.length;
      for (let step = 1; step <= steps; step++) {
        const table = at("tables") + BigInt((step - 1) * count * TensorWord.words * 8);
        k.writeBytes(at("state"), bytesOf(slotsOf(step)));
        k.check(
          k.symbols.remoe_gradient_norm(k.handle, at("state"), table, count, clip),
          "gradient_norm",
        );
        const status = k.symbols.remoe_adamw(
          k.handle,
          at("state"),
          table,
          count,
          beta1,
          beta2,
          epsilon,
          weightDecay,
        );
        k.check(status, "adamw");
      }
    },
    defined: (outputs) => ({
      ...outputs,
      state: definedSlots(outputs.state, isFinite),
      ...(copies ? { copy: distances(outputs.copy, outputs.master, parameters) } : {}),
    }),
    reference: (inputs) => stepped(options, inputs),
  });
}

/** The contract leaves norm and clip undefined after a gradient that is not finite. */
function definedSlots(state: ArrayLike<number>, isFinite: boolean): number[] {
  const slots = Array.from(state);
  return isFinite ? slots : slots.fill(0, StateSlot.gradientNorm, StateSlot.clipScale + 1);
}

/** The distance of each bfloat16 copy from its rounded weight; 0 in the gaps between parameters. */
function distances(
  copy: ArrayLike<number>,
  master: ArrayLike<number>,
  parameters: readonly ParameterOptions[],
): number[] {
  const { starts } = layoutOf(parameters);
  const expected = fromBfloat16(toBfloat16(master));
  const isParameter = (index: number): boolean =>
    parameters.some(({ elements }, i) => index >= starts[i]! && index < starts[i]! + elements);
  return Array.from(copy, (value, i) => isParameter(i) ? value - expected[i]! : 0);
}

/** The reference's starting point. */
interface Start extends AdamWState {
  readonly gradient: Float64Array;
  readonly state: Float64Array;
}

/** Takes all steps in float64: the norm over all parameters, then each parameter separately. */
function stepped(options: AdamWCaseOptions, { gradient, state, ...start }: Start) {
  const { parameters, steps, clip, poison } = options;
  const { starts, total } = layoutOf(parameters);
  const weights: AdamWState = {
    master: start.master.slice(),
    moment1: start.moment1.slice(),
    moment2: start.moment2.slice(),
  };
  const end = state.slice();
  end.set(slotsOf(steps));
  end[StateSlot.notFinite] = poison === undefined ? 0 : 1;
  // Copies are compared with the kernel's own weights, so their expected distance is 0.
  const expected = { ...weights, state: end, copy: new Float64Array(total) };
  if (poison !== undefined) return expected;
  for (let step = 1; step <= steps; step++) {
    const gradients = parameters.map(({ elements }, i) => {
      const first = (step - 1) * total + starts[i]!;
      return gradient.subarray(first, first + elements);
    });
    const norm = Math.sqrt(gradients.reduce((sum, slice) => sum + dot(slice, slice), 0));
    const clipScale = clip > 0 ? Math.min(1, clip / (norm + 1e-6)) : 1;
    end[StateSlot.gradientNorm] = norm;
    end[StateSlot.clipScale] = clipScale;
    parameters.forEach(({ elements, decays = false }, i) => {
      const range = [starts[i]!, starts[i]! + elements] as const;
      const slices: AdamWState = {
        master: weights.master.subarray(...range),
        moment1: weights.moment1.subarray(...range),
        moment2: weights.moment2.subarray(...range),
      };
      const constants = { ...OPTIONS, weightDecay: decays ? OPTIONS.weightDecay : 0 };
      adamwStep(slices, gradients[i]!, step, LEARNING_RATE, clipScale, constants);
    });
  }
  return expected;
}

const MIXED: readonly ParameterOptions[] = [
  { elements: 1000, decays: true },
  { elements: 17 },
  { elements: 1, decays: true },
  { elements: 4099, decays: true },
];

/** Cases of AdamW and the gradient norm that precedes it. */
export const ADAMW_CASES: readonly OperationCase[] = [
  adamwCase({ label: "one number", parameters: [{ elements: 1 }], steps: 1, clip: 0 }),
  adamwCase({ label: "decaying and not", parameters: MIXED, steps: 5, clip: 0 }),
  adamwCase({ label: "clipped", parameters: MIXED, steps: 3, clip: 1 }),
  adamwCase({ label: "below the clip", parameters: MIXED, steps: 2, clip: 1e4 }),
  adamwCase({ label: "with bf16 copies", parameters: MIXED, steps: 2, clip: 1, copies: true }),
  adamwCase({
    label: "with bf16 gradients",
    parameters: MIXED.map((parameter) => ({ ...parameter, bf16Gradient: true })),
    steps: 2,
    clip: 1,
  }),
  adamwCase({ label: "large", parameters: [{ elements: 200_003 }], steps: 1, clip: 1 }),
  adamwCase({ label: "with a NaN", parameters: MIXED, steps: 2, clip: 1, poison: NaN }),
  adamwCase({ label: "with an infinity", parameters: MIXED, steps: 1, clip: 0, poison: Infinity }),
];
