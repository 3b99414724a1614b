/** Tensors: memory on a device with a type and a shape. @module */

import { DeviceError } from "../errors.ts";
import { Status } from "../ffi/codes.ts";
import type { DeviceMemory } from "./device_memory.ts";
import { type Description, type Place, showsItself } from "./display.ts";
import type { DType } from "./dtype.ts";
import type { GradientTarget, Recorder } from "./recorder.ts";
import { type CheckedShape, showShape } from "./shape_math.ts";
import type { Shape } from "./shape.ts";
import { valuesOf } from "./show_values.ts";
import type { Storage } from "./storage.ts";

/**
 * Memory on a device with an element type and a shape; data only, so that it is
 * covariant: `Tensor[]` holds any tensor. Operations are functions, `matmul(x, w)`.
 *
 * A tensor lives until its scope closes or it is disposed of, whichever is first;
 * using it after that throws.
 *
 * `console.log(x)` prints type, shape, device and values, the middle of long axes left out: it waits
 * for the device and reads what it prints. `String(x)` and `JSON.stringify(x)` say what it is and
 * read nothing. A notebook shows a table.
 */
export interface Tensor<out D extends DType = DType, out S extends Shape = Shape>
  extends Disposable {
  /** Element type. */
  readonly dtype: D;
  /** Sizes of the axes, outermost first. */
  readonly shape: S;
  /** Number of elements. */
  readonly size: number;
}

/**
 * What every {@linkcode Tensor} is underneath; not part of the public API. Type, shape and memory
 * cannot be assigned from outside: kernels are told sizes by them.
 */
export class DeviceTensor<D extends DType = DType, S extends Shape = Shape>
  implements Tensor<D, S> {
  /** The tape on which a gradient flows to this tensor. */
  tracker: Recorder | null = null;
  readonly #memory: DeviceMemory;
  readonly #dtype: D;
  readonly #shape: S;
  readonly #size: number;
  readonly #storage: Storage;
  /** False for a view: disposing of a view leaves the memory. */
  #owner: boolean;

  static {
    showsItself(DeviceTensor, (tensor) => tensor.describe());
  }

  constructor(
    memory: DeviceMemory,
    dtype: D,
    { shape, size }: CheckedShape<S>,
    storage: Storage,
    owner: boolean,
  ) {
    this.#memory = memory;
    this.#dtype = dtype;
    this.#shape = shape;
    this.#size = size;
    this.#storage = storage;
    this.#owner = owner;
    // A property of its own would hide what kernels are told; a subclass has its own fields first.
    if (new.target === DeviceTensor) Object.preventExtensions(this);
  }

  /** Whether a value was made here: an object that inherits from a tensor may say anything. */
  static isOne(value: unknown): value is DeviceTensor {
    return typeof value === "object" && value !== null && #storage in value;
  }

  /** The memory of the device it lives on. */
  get memory(): DeviceMemory {
    return this.#memory;
  }

  get dtype(): D {
    return this.#dtype;
  }

  get shape(): S {
    return this.#shape;
  }

  get size(): number {
    return this.#size;
  }

  /** The block it lies in, which views share. */
  get storage(): Storage {
    return this.#storage;
  }

  /** Device address of the first element. */
  get address(): bigint {
    this.requireAlive("use");
    return this.#storage.address;
  }

  /** Refuses to do something, named as it follows "Cannot", with memory that is freed. */
  requireAlive(operation: string): void {
    if (this.#storage.live) return;
    if (this.#memory.closed) {
      throw new DeviceError(
        `Cannot ${operation} ${this.described()}: the device is closed`,
        { operation, status: Status.invalidContext },
      );
    }
    throw new ReferenceError(
      `Cannot ${operation} ${this.described()} after ` +
        (this.#storage.owner === null
          ? `its memory was freed: keep it with scope.keep() or use it before its scope closes`
          : `it was disposed of`),
    );
  }

  /** Names it in a message. */
  described(): string {
    return this.#storage.owner ?? `a tensor of shape ${showShape(this.#shape)}`;
  }

  /** How it shows itself. */
  describe(): Description {
    const { dtype, shape, size } = this;
    const readBytes = (from: number, bytes: Uint8Array<ArrayBuffer>) =>
      this.#memory.kernels.readBytes(this.address + BigInt(from), bytes);
    return {
      kind: "Tensor",
      label: `${dtype} ${showShape(shape)}`,
      facts: { dtype, shape },
      place: this.place,
      content: () => valuesOf({ dtype, shape, size, readBytes }),
    };
  }

  /** Where it lives, if it does. */
  get place(): Place {
    return { memory: this.#memory, live: this.#storage.live };
  }

  /** Lets disposing of this tensor free the memory, even if it is a view. */
  own(): void {
    this.#owner = true;
  }

  /** Where a leaf that owns its gradient wants it written; null for every other tensor. */
  gradientTarget(): GradientTarget | null {
    return null;
  }

  [Symbol.dispose](): void {
    if (this.#owner) this.#memory.release(this.#storage);
  }
}
