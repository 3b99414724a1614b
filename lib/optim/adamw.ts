/** AdamW over many tensors at once, with clipping by global norm. @module */

import { requireOptions, requireWhole, shown } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { isParameter, type Parameter, type ParameterTensor } from "../autograd/parameter.ts";
import { requireStateOn, stateAddress, StepState } from "../autograd/step_state.ts";
import { TensorWord } from "../ffi/codes.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { showsItself } from "../tensor/display.ts";
import { requireDevice } from "../tensor/operands.ts";
import { DeviceTensor, type Tensor } from "../tensor/tensor.ts";
import { fill } from "../tensor/transfer.ts";

/** Settings of {@linkcode AdamW}; the defaults are the paper's. */
export interface AdamWOptions {
  /** Learning rate. Default 5e-4. */
  lr?: number;
  /** Decay rate of the first moment. Default 0.9. */
  beta1?: number;
  /** Decay rate of the second moment. Default 0.999. */
  beta2?: number;
  /** Keeps the denominator away from zero. Default 1e-8. */
  epsilon?: number;
  /** Decoupled weight decay, applied to matrices only. Default 0.01. */
  weightDecay?: number;
  /** Maximum global gradient norm; 0 disables clipping. Default 1. */
  clip?: number;
  /** The step's state, if shared. By default the optimizer makes its own. */
  state?: StepState;
}

/** The two moments of a parameter, as stored in checkpoints. */
export interface Moments {
  /** The parameter. */
  readonly parameter: Parameter;
  /** Running mean of the gradient. */
  readonly first: Tensor<"f32">;
  /** Running mean of its square. */
  readonly second: Tensor<"f32">;
}

/** A parameter with its moments on the device. */
interface Slot {
  readonly parameter: ParameterTensor;
  readonly first: DeviceTensor<"f32">;
  readonly second: DeviceTensor<"f32">;
}

/** Bit 0 of a table row's flags: weight decay applies. */
const DECAY_FLAG = 1n;

/**
 * Adam with decoupled weight decay. One kernel call computes the norm of all gradients, and one
 * updates all weights. Decay applies to matrices, not to the scales of norms.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { AdamW, Device, meanSquaredError, MoE, read, ReluRouter } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new ReluRouter(device, { hidden: 8, experts: 2 });
 * using layer = new MoE(device, { router, hidden: 8, width: 16, deviation: 0.2 });
 * using optimizer = new AdamW(device, layer.parameters(), { lr: 1e-2 });
 * const x = device.normal([32, 8]), y = device.normal([32, 8]);
 * const losses: number[] = [];
 * for (let step = 0; step < 20; step++) {
 *   using tape = device.record();
 *   const loss = meanSquaredError(layer.forward(x).output, y);
 *   tape.backward(loss);
 *   optimizer.step();
 *   losses.push((await read(loss))[0]!);
 * }
 * assert(losses.at(-1)! < losses[0]!);
 * ```
 */
export class AdamW implements Disposable {
  /** Learning rate of the next step. */
  lr: number;
  readonly #memory: DeviceMemory;
  readonly #slots: readonly Slot[];
  readonly #table: DeviceTensor<"f64">;
  readonly #state: StepState;
  readonly #ownsState: boolean;
  /** What it frees: moments, table, and the state unless that is shared. */
  readonly #owned: DisposableStack;
  readonly #options: Required<Omit<AdamWOptions, "lr" | "state">>;
  #steps = 0;

  static {
    showsItself(AdamW, (optimizer) => ({
      kind: "AdamW",
      facts: {
        lr: optimizer.lr,
        ...optimizer.#options,
        steps: optimizer.steps,
        parameters: optimizer.#slots.reduce((sum, { parameter }) => sum + parameter.size, 0),
      },
      place: optimizer.#table.place,
    }));
  }

  /**
   * Makes an optimizer with zero moments.
   *
   * @param device Where the parameters live.
   * @param parameters What to train.
   * @param options Rates, decay, clipping.
   * @throws {ConfigError} If there is nothing to train, a parameter is listed twice, or a setting
   * is out of range.
   * @throws {DeviceError} If a parameter or the state lives on another device.
   */
  constructor(device: Device, parameters: Iterable<Parameter>, options: AdamWOptions = {}) {
    requireOptions("optimise", options, {
      lr: true,
      beta1: true,
      beta2: true,
      epsilon: true,
      weightDecay: true,
      clip: true,
      state: true,
    });
    const { lr = 5e-4, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = options;
    const { weightDecay = 0.01, clip = 1, state } = options;
    requireNumbers("optimise", { lr, weightDecay, clip }, { least: 0 });
    requireNumbers("optimise", { beta1, beta2 }, { least: 0, below: 1 });
    requireNumbers("optimise", { epsilon }, { above: 0 });
    this.lr = lr;
    this.#options = { beta1, beta2, epsilon, weightDecay, clip };
    this.#memory = memoryOf(device);
    if (state !== undefined) requireStateOn("optimise with", this.#memory, state);
    // Frozen because moments() exposes them.
    using made = new DisposableStack();
    this.#slots = Object.freeze(
      this.#distinct(parameters).map((parameter) => Object.freeze(this.#slot(parameter, made))),
    );
    this.#ownsState = state === undefined;
    this.#state = state ?? made.use(new StepState(device));
    // The table holds raw 64-bit words; f64 is the element type of that size.
    const words = this.#slots.length * TensorWord.words;
    this.#table = made.use(this.#memory.allocateAtRoot("f64", [words], "the optimizer"));
    this.#writeTable();
    this.#owned = made.move();
  }

  /** Checks the parameters. Each must be listed once: a duplicate would take every step twice. */
  #distinct(parameters: Iterable<Parameter>): ParameterTensor[] {
    if (typeof parameters?.[Symbol.iterator] !== "function") {
      throw new TypeError(
        `Cannot optimise ${
          shown(parameters)
        }: give a list of parameters, such as layer.parameters()`,
      );
    }
    const list = Array.from(parameters, (parameter) => {
      if (DeviceTensor.isOne(parameter) && isParameter(parameter)) return parameter;
      throw new TypeError(
        `Cannot optimise ${shown(parameter)}: it is not a parameter of this library; ` +
          `device.parameter() makes one`,
      );
    });
    if (list.length === 0) throw new ConfigError("Cannot optimise: there are no parameters");
    const seen = new Set<unknown>();
    for (const { storage, name } of list) {
      if (seen.has(storage)) {
        throw new ConfigError(`Cannot optimise ${name}: it is listed twice; list it once`);
      }
      seen.add(storage);
    }
    for (const parameter of list) {
      requireDevice("optimise", this.#memory, parameter);
      parameter.requireAlive("optimise");
    }
    return list;
  }

  #slot(parameter: ParameterTensor, made: DisposableStack): Slot {
    const [first, second] = ["first", "second"].map((which) => {
      const owner = `the ${which} moment of ${parameter.described()}`;
      const moment = made.use(this.#memory.allocateAtRoot("f32", parameter.shape, owner));
      fill(moment, 0);
      return moment;
    });
    return { parameter, first: first!, second: second! };
  }

  #writeTable(): void {
    const words = new BigUint64Array(this.#slots.length * TensorWord.words);
    this.#slots.forEach(({ parameter, first, second }, i) => {
      words.set([
        parameter.address,
        parameter.gradient.address,
        first.address,
        second.address,
        parameter.copy?.address ?? 0n,
        BigInt(parameter.size),
        parameter.decay ? DECAY_FLAG : 0n,
      ], i * TensorWord.words);
    });
    this.#memory.kernels.writeBytes(this.#table.address, new Uint8Array(words.buffer));
    this.zeroGradient();
  }

  /** Steps taken so far. */
  get steps(): number {
    return this.#steps;
  }

  /**
   * Sets the number of steps taken, on resuming: the bias corrections continue from there.
   *
   * @param steps Steps already taken.
   * @throws {RangeError} If it is not a non-negative integer.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { AdamW, Device } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * using weight = device.parameter([4, 4]);
   * using optimizer = new AdamW(device, [weight]);
   * optimizer.resumeAt(100);
   * assert(optimizer.steps === 100);
   * ```
   */
  resumeAt(steps: number): void {
    requireWhole("resume the optimizer", "steps", steps);
    this.#steps = steps;
  }

  /**
   * Clips the gradients, updates every parameter, and discards the gradients.
   *
   * A step whose gradient is not finite changes no weight and no moment, but still counts: only the
   * device knows whether it was taken, and asking would make every step wait. The bias corrections
   * of later steps are then one step ahead, which moves a weight by a quarter less right after the
   * first step, and by less than 2 % less or more from the tenth on. Callers that read {@linkcode
   * StepReadout.notFinite} can undo the count: `optimizer.resumeAt(optimizer.steps - 1)`.
   *
   * @throws {ConfigError} If the learning rate is negative or not finite.
   * @throws {ReferenceError} If the optimizer, a parameter, a gradient or a moment was disposed of.
   */
  step(): void {
    const { beta1, beta2, epsilon, weightDecay, clip } = this.#options;
    requireNumbers("take a step", { lr: this.lr }, { least: 0 });
    this.#table.requireAlive("take a step with");
    const table = this.#table.address;
    this.#requireAlive();
    // The kernel rounds into the copies, unless it skips the step.
    for (const { parameter } of this.#slots) parameter.copy?.refresh();
    const state = stateAddress(this.#state, "take a step with");
    const step = this.#steps + 1;
    // Clears notFinite of the previous step; the owner of a shared state calls begin() itself.
    if (this.#ownsState) this.#state.begin();
    this.#state.writeInputs({
      learningRate: this.lr,
      biasCorrection1: 1 - beta1 ** step,
      biasCorrection2: 1 - beta2 ** step,
      step,
    });
    this.#steps = step;
    const { kernels: k } = this.#memory;
    const count = this.#slots.length;
    k.check(
      k.symbols.remoe_gradient_norm(k.handle, state, table, count, clip),
      "gradient norm",
    );
    k.check(
      k.symbols.remoe_adamw(k.handle, state, table, count, beta1, beta2, epsilon, weightDecay),
      "AdamW",
    );
    for (const { parameter } of this.#slots) {
      parameter.storage.writes++;
      parameter.copy?.follow();
    }
    this.zeroGradient();
  }

  /** The table holds raw addresses, and users could have disposed of any of its tensors. */
  #requireAlive(): void {
    for (const { parameter, first, second } of this.#slots) {
      // Reading the gradient zeroes it for a parameter that no gradient has reached in this step.
      for (const tensor of [parameter, parameter.gradient, first, second]) {
        tensor.requireAlive("take a step with");
      }
    }
  }

  /** Discards all gradients. */
  zeroGradient(): void {
    for (const { parameter } of this.#slots) parameter.zeroGradient();
  }

  /**
   * Returns the moments, for checkpoints.
   *
   * @returns One entry per parameter, in order.
   */
  moments(): readonly Moments[] {
    return this.#slots;
  }

  /** Frees the moments, and the state unless it is shared. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
