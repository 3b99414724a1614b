/** Device buffer of values that change from step to step. @module */

import { requireFinite, requireOptions, shown } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { LambdaCode, StateSlot } from "../ffi/codes.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { showsItself, table } from "../tensor/display.ts";
import { operands, requireDevice } from "../tensor/operands.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { download, fill } from "../tensor/transfer.ts";
import { type Device, memoryOf } from "./device.ts";
import { type LambdaRule, lambdaRuleOf } from "./lambda_rule.ts";
import { inputSlots, type StepInputs } from "./step_inputs.ts";
import { readoutOf, stateSize, type StepReadout, zLossSlot } from "./step_readout.ts";

/** Bytes per slot, an fp64. */
const BYTES = 8n;

/** Sizes of a {@linkcode StepState}. */
export interface StepStateOptions {
  /** Number of MoE layers. Default 1. */
  layers?: number;
  /** Experts per layer. Default 1. */
  experts?: number;
  /** Initial λ. Default 1e-8, the paper's λ0. */
  lambda?: number;
}

// Friend access to StepState: kernels need its address, users do not.
let bufferOf: (state: StepState) => DeviceTensor<"f64">;
let readExcess: (state: StepState) => number;
let writeExcess: (state: StepState, excess: number) => void;
let addSum: (state: StepState, sum: DeviceTensor) => void;

/**
 * Learning rate, λ, clip scale and routing statistics in one device buffer, so that a step needs
 * only one read. All layers of a model share it, and thereby one λ.
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
  /** Whether a router has added a z-loss since the step began. */
  #hasZLoss = false;

  static {
    bufferOf = (state) => state.#buffer;
    readExcess = (state) => state.#slot("read λ's rule from", StateSlot.excess);
    writeExcess = (state, excess) => state.#write("set λ's rule in", StateSlot.excess, [excess]);
    addSum = (state, sum) => state.#addZLoss(sum);
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
   * @param options Layers, experts, initial λ.
   * @throws {ConfigError} If layers or experts is not a positive integer, or λ is negative or not
   * finite.
   */
  constructor(device: Device, options: StepStateOptions = {}) {
    requireOptions("make a step's state", options, { layers: true, experts: true, lambda: true });
    const { layers = 1, experts = 1, lambda = 1e-8 } = options;
    requireSizes("make a step's state", { layers, experts });
    requireNumbers("make a step's state", { lambda }, { least: 0 });
    this.#layers = layers;
    this.#experts = experts;
    this.#memory = memoryOf(device);
    const size = stateSize(layers, experts);
    this.#buffer = this.#memory.allocateAtRoot("f64", [size], "the step's state");
    fill(this.#buffer, 0);
    this.setLambda(lambda);
  }

  /** Number of MoE layers. */
  get layers(): number {
    return this.#layers;
  }

  /** Experts per layer. */
  get experts(): number {
    return this.#experts;
  }

  /** λ, read from the device. */
  get lambda(): number {
    return this.#slot("read λ from", StateSlot.lambda);
  }

  /**
   * Sets λ.
   *
   * @param lambda Coefficient of the L1 term.
   * @throws {ConfigError} If it is negative or not finite.
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

  /** Zeroes the previous step's statistics; λ stays. */
  begin(): void {
    const { kernels: k } = this.#memory;
    this.#buffer.requireAlive("begin a step with");
    k.check(
      k.symbols.remoe_state_begin(k.handle, this.#buffer.address, this.#layers, this.#experts),
      "begin step",
    );
    if (this.#hasZLoss) this.#write("begin a step with", this.#zSlot, [0]);
    this.#hasZLoss = false;
  }

  /**
   * Writes the optimizer's inputs from the host.
   *
   * @param inputs Learning rate and bias corrections.
   * @throws {ConfigError} If the learning rate is negative or not finite, or a bias correction is
   * not positive.
   * @throws {RangeError} If the step is not a positive integer.
   *
   * @example
   * ```ts
   * import { Device, StepState } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * using state = new StepState(device);
   * // AdamW.step() does this, and so must a custom optimizer.
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
    this.#write("write a step's inputs to", StateSlot.learningRate, inputSlots(inputs));
  }

  /**
   * Adds a fraction of a loss to the step's loss.
   *
   * @param loss A scalar.
   * @param share Factor: 1 / micro-batches.
   * @throws {ShapeMismatchError} If the loss is not a scalar.
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
    const { address } = this.#buffer;
    k.check(
      k.symbols.remoe_state_add(k.handle, address, StateSlot.loss, value.address, share),
      "add loss",
    );
  }

  #addZLoss(sum: DeviceTensor): void {
    const { kernels: k } = this.#memory;
    this.#hasZLoss = true;
    // The call takes slots of the header alone: this one is the first of what lies behind the records.
    const address = this.#buffer.address + BigInt(this.#zSlot) * BYTES;
    k.check(k.symbols.remoe_state_add(k.handle, address, 0, sum.address, 1), "add z-loss");
  }

  get #zSlot(): number {
    return zLossSlot(this.#layers, this.#experts);
  }

  /**
   * Sums up the step's routing and moves λ on the device, by default by equation 7. Compared in
   * integer counts: λ is multiplied by alpha if more token-expert pairs are active than the target,
   * divided by it if fewer are, and otherwise unchanged. The rule `proportional` moves log λ by
   * `gain · e + damping · (e - e')`, at most by log alpha, with e the active pairs relative to their
   * target, minus 1, and e' that of the step before.
   *
   * @param rule Target, factor and bounds.
   * @throws {ConfigError} If a number is out of range, `active` exceeds the number of experts, or
   * `floor` exceeds `ceiling`.
   */
  updateLambda(rule: LambdaRule): void {
    const { active, tokens, alpha, floor, ceiling, adapt, ...shape } = lambdaRuleOf(
      rule,
      this.#experts,
    );
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
        adapt ? LambdaCode[shape.rule] : LambdaCode.fixed,
        shape.gain,
        shape.damping,
      ),
      "update lambda",
    );
  }

  /**
   * Copies everything to the host; waits for the device.
   *
   * @returns The step's results.
   */
  read(): StepReadout {
    this.#buffer.requireAlive("read");
    const readout = readoutOf(download(this.#buffer), this.#layers, this.#experts);
    return this.#hasZLoss ? readout : { ...readout, zLoss: null };
  }

  #slot(operation: string, slot: number): number {
    this.#buffer.requireAlive(operation);
    const bytes = new Uint8Array(Number(BYTES));
    this.#memory.kernels.readBytes(this.#buffer.address + BigInt(slot) * BYTES, bytes);
    return new Float64Array(bytes.buffer)[0]!;
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

/** Throws unless a state lives on `memory`'s device. */
export function requireStateOn(operation: string, memory: DeviceMemory, state: StepState): void {
  if (!(state instanceof StepState)) {
    throw new TypeError(`Cannot ${operation} ${shown(state)}: it is no StepState`);
  }
  requireDevice(operation, memory, bufferOf(state));
}

/** Address of a state's first double; throws if it was disposed of. */
export function stateAddress(state: StepState, operation: string): bigint {
  const buffer = bufferOf(state);
  buffer.requireAlive(operation);
  return buffer.address;
}

/** The excess of active pairs in the last proportional update of λ. */
export function lambdaExcess(state: StepState): number {
  return readExcess(state);
}

/** Sets the excess that the next proportional update compares with. */
export function setLambdaExcess(state: StepState, excess: number): void {
  writeExcess(state, excess);
}

/** Adds a layer's z-loss of one micro-batch: the sum over tokens, fp32 [1], without a coefficient. */
export function addZLoss(state: StepState, sum: DeviceTensor): void {
  addSum(state, sum);
}

/** Address of λ, read by the routers' gradients. */
export function lambdaAddress(state: StepState): bigint {
  return stateAddress(state, "read λ from") + BigInt(StateSlot.lambda) * BYTES;
}
