/** The device buffer of values that change from step to step. @module */

import { requireFinite, requireOptions, requireWhole, shown } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { StateSlot } from "../ffi/codes.ts";
import { stateRecord } from "../ffi/layouts.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { showsItself, table } from "../tensor/display.ts";
import { operands, requireDevice } from "../tensor/operands.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { download, fill } from "../tensor/transfer.ts";
import { type Device, memoryOf } from "./device.ts";
import { type LambdaRule, lambdaRuleOf } from "./lambda_rule.ts";
import { readoutOf, type StepReadout } from "./step_readout.ts";

const BYTES = 8n;

/** Sizes of a {@linkcode StepState}. */
export interface StepStateOptions {
  /** MoE layers whose routing is summed up. Default 1. */
  layers?: number;
  /** Experts of each layer. Default 1. */
  experts?: number;
  /** λ at the start. Default 1e-8, the paper's λ0. */
  lambda?: number;
}

/** What the host gives the optimizer's step. */
export interface StepInputs {
  /** Learning rate of this step. */
  readonly learningRate: number;
  /** `1 - beta1^step`. */
  readonly biasCorrection1: number;
  /** `1 - beta2^step`. */
  readonly biasCorrection2: number;
  /** Number of the step, from 1. */
  readonly step: number;
}

// Friends of StepState: kernels need its address, users do not.
let bufferOf: (state: StepState) => DeviceTensor<"f64">;

/**
 * Learning rate, λ, clip scale and the routing's statistics, as one device buffer: a step
 * reads back once. Layers of a model share one, and with it one λ.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, StepState } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using state = new StepState(device, { layers: 2, experts: 8 });
 * state.begin();
 * state.updateLambda({ active: 1, tokens: 64, alpha: 1.2, floor: 1e-10, ceiling: 1e4, adapt: true });
 * assert(state.read().sparsity === 1); // nothing was routed, so λ falls
 * assert(state.read().lambda < 1e-8);
 * ```
 */
export class StepState implements Disposable {
  readonly #layers: number;
  readonly #experts: number;
  readonly #memory: DeviceMemory;
  readonly #buffer: DeviceTensor<"f64">;

  static {
    bufferOf = (state) => state.#buffer;
    showsItself(StepState, (state) => ({
      kind: "StepState",
      facts: { layers: state.layers, experts: state.experts },
      place: state.#buffer.place,
      content: () => table(["", ""], [["λ", String(state.lambda)]]),
    }));
  }

  /**
   * Makes a state with empty statistics.
   *
   * @param device Where it lives.
   * @param options Layers, experts, λ at the start.
   * @throws {ConfigError} If layers or experts are no whole numbers of at least 1, or λ no finite one
   * of at least 0.
   */
  constructor(device: Device, options: StepStateOptions = {}) {
    requireOptions("make a step's state", options, { layers: true, experts: true, lambda: true });
    const { layers = 1, experts = 1, lambda = 1e-8 } = options;
    requireSizes("make a step's state", { layers, experts });
    requireNumbers("make a step's state", { lambda }, { least: 0 });
    this.#layers = layers;
    this.#experts = experts;
    this.#memory = memoryOf(device);
    const size = stateRecord(layers, experts);
    this.#buffer = this.#memory.allocateAtRoot("f64", [size], "the step's state");
    fill(this.#buffer, 0);
    this.setLambda(lambda);
  }

  /** MoE layers whose routing is summed up. */
  get layers(): number {
    return this.#layers;
  }

  /** Experts of each layer. */
  get experts(): number {
    return this.#experts;
  }

  /** λ, read from the device. */
  get lambda(): number {
    const bytes = new Uint8Array(Number(BYTES));
    this.#memory.kernels.readBytes(lambdaAddress(this), bytes);
    return new Float64Array(bytes.buffer)[0]!;
  }

  /**
   * Sets λ.
   *
   * @param lambda Coefficient of the L1 term.
   * @throws {ConfigError} If it is no finite number of at least 0.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, StepState } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * using state = new StepState(device);
   * state.setLambda(0.5);
   * assert(state.lambda === 0.5);
   * ```
   */
  setLambda(lambda: number): void {
    requireNumbers("set λ", { lambda }, { least: 0 });
    this.#write("set λ in", StateSlot.lambda, [lambda]);
  }

  /** Zeroes the statistics of the step before; λ stays. */
  begin(): void {
    const { kernels: k } = this.#memory;
    this.#buffer.requireAlive("begin a step with");
    k.check(
      k.symbols.remoe_state_begin(k.handle, this.#buffer.address, this.#layers, this.#experts),
      "begin step",
    );
  }

  /**
   * Writes what the optimizer needs of the host.
   *
   * @param inputs Learning rate and bias corrections.
   * @throws {ConfigError} If one is no finite number, or a bias correction not above 0.
   * @throws {RangeError} If the step is no whole number of at least 1.
   *
   * @example
   * ```ts
   * import { Device, StepState } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * using state = new StepState(device);
   * // AdamW.step() does this; an optimizer of your own would, too.
   * const [beta1, beta2, step] = [0.9, 0.999, 3];
   * state.writeInputs({
   *   learningRate: 1e-3,
   *   biasCorrection1: 1 - beta1 ** step,
   *   biasCorrection2: 1 - beta2 ** step,
   *   step,
   * });
   * ```
   */
  writeInputs(inputs: StepInputs): void {
    requireOptions("write a step's inputs", inputs);
    const { learningRate, biasCorrection1, biasCorrection2, step } = inputs;
    requireNumbers("write a step's inputs", { learningRate }, { least: 0 });
    requireWhole("write a step's inputs", "step", step, { least: 1 });
    // An update divides by both.
    requireNumbers("write a step's inputs", { biasCorrection1, biasCorrection2 }, { above: 0 });
    const values = [learningRate, biasCorrection1, biasCorrection2, step];
    this.#write("write a step's inputs to", StateSlot.learningRate, values);
  }

  /**
   * Adds a share of a loss to the loss of the step.
   *
   * @param loss A scalar.
   * @param share Factor: 1 / micro-batches.
   * @throws {ShapeMismatchError} If the loss is no scalar.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, mean, StepState } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * using state = new StepState(device);
   * state.begin();
   * for (const value of [1, 3]) state.addLoss(mean(device.full([4], value)), 1 / 2);
   * assert(state.read().loss === 2);
   * ```
   */
  addLoss(loss: Tensor<"f32", readonly []>, share: number): void {
    const { kernels: k } = this.#memory;
    const [value] = operands("take a loss from", loss);
    requireFinite("add a loss", "share", share);
    this.#buffer.requireAlive("add a loss to");
    requireDevice("take a loss from", this.#memory, value);
    if (value.size !== 1) {
      throw new ShapeMismatchError(
        `Cannot add a loss of shape ${showShape(value.shape)}: it must be a scalar`,
      );
    }
    k.check(
      k.symbols.remoe_state_add(
        k.handle,
        this.#buffer.address,
        StateSlot.loss,
        value.address,
        share,
      ),
      "add loss",
    );
  }

  /**
   * Sums up the routing of the step and moves λ by equation 7, on the device: with integer
   * counts, λ grows by alpha where more pairs are active than wanted, falls by it where fewer are,
   * and stays where as many are.
   *
   * @param rule Target, factor and bounds.
   * @throws {ConfigError} If one of them is no number in its range, `active` is above the number of
   * experts, or `floor` above `ceiling`.
   */
  updateLambda(rule: LambdaRule): void {
    const { active, tokens, alpha, floor, ceiling, adapt } = lambdaRuleOf(rule, this.#experts);
    this.#buffer.requireAlive("update λ in");
    const { kernels: k } = this.#memory;
    k.check(
      k.symbols.remoe_state_update_lambda(
        k.handle,
        this.#buffer.address,
        this.#layers,
        this.#experts,
        active,
        tokens,
        alpha,
        floor,
        ceiling,
        adapt ? 1 : 0,
      ),
      "update lambda",
    );
  }

  /**
   * Copies everything to the host, waiting for the device.
   *
   * @returns The step's figures.
   */
  read(): StepReadout {
    this.#buffer.requireAlive("read");
    return readoutOf(download(this.#buffer), this.#layers, this.#experts);
  }

  #write(operation: string, slot: number, values: readonly number[]): void {
    this.#buffer.requireAlive(operation);
    const bytes = new Uint8Array(Float64Array.from(values).buffer);
    this.#memory.kernels.writeBytes(this.#buffer.address + BigInt(slot) * BYTES, bytes);
  }

  /** Frees the buffer. */
  [Symbol.dispose](): void {
    this.#buffer[Symbol.dispose]();
  }
}

/** Refuses a state of another device than `memory`. */
export function requireStateOn(operation: string, memory: DeviceMemory, state: StepState): void {
  if (!(state instanceof StepState)) {
    throw new TypeError(`Cannot ${operation} ${shown(state)}: it is no StepState`);
  }
  requireDevice(operation, memory, bufferOf(state));
}

/** Address of a state's first double; refuses `operation`, as in "read", with one disposed of. */
export function stateAddress(state: StepState, operation: string): bigint {
  const buffer = bufferOf(state);
  buffer.requireAlive(operation);
  return buffer.address;
}

/** Address of λ, for the routers' gradient. */
export function lambdaAddress(state: StepState): bigint {
  return stateAddress(state, "read λ from") + BigInt(StateSlot.lambda) * BYTES;
}
