/** Tensors: device memory with an element type and a shape. @module */

import { DeviceError } from "../errors.ts";
import { Status } from "../ffi/codes.ts";
import type { DeviceMemory } from "./device_memory.ts";
import { type Description, type Place, showsItself } from "./display.ts";
import { type DType, type GradientType, gradientType } from "./dtype.ts";
import type { GradientTarget, Recorder } from "./recorder.ts";
import { type CheckedShape, showShape } from "./shape_math.ts";
import type { Shape } from "./shape.ts";
import { valuesOf } from "./show_values.ts";
import type { Storage } from "./storage.ts";

/**
 * Device memory with an element type and a shape. Operations are functions, such as `matmul(x, w)`;
 * without methods, the type is covariant: a `Tensor[]` holds any tensor.
 *
 * A tensor lives until its scope closes or it is disposed of, whichever comes first. Using it after
 * that throws.
 *
 * `console.log(x)` prints type, shape, device and values, the middle of long axes left out: it
 * waits for the device and reads what it prints. `String(x)` and `JSON.stringify(x)` say what it is
 * and read nothing. A notebook shows a table.
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
 * The implementation of {@linkcode Tensor}; not part of the public API. Type, shape and memory are
 * private because the sizes passed to kernels derive from them.
 */
export class DeviceTensor<D extends DType = DType, S extends Shape = Shape>
  implements Tensor<D, S> {
  /** The tape that tracks a gradient for this tensor. */
  tracker: Recorder | null = null;
  readonly #memory: DeviceMemory;
  readonly #dtype: D;
  readonly #shape: S;
  readonly #size: number;
  readonly #storage: Storage;
  /** Whether disposing of it frees the memory: false for a view. */
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
    // An added property could shadow what kernels read. Subclasses first need to define their
    // fields.
    if (new.target === DeviceTensor) Object.preventExtensions(this);
  }

  /** Whether a value was made here: an object that merely inherits from one could hold anything. */
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

  /** Its block, shared with its views. */
  get storage(): Storage {
    return this.#storage;
  }

  /** Changes whenever the values do, so that a tape can tell that they are those it saved. */
  get version(): number {
    return this.#storage.writes;
  }

  /** Device address of the first element. */
  get address(): bigint {
    this.requireAlive("use");
    return this.#storage.address;
  }

  /** Throws if the memory was freed; `operation` is worded to follow "Cannot". */
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

  /** Its name in messages. */
  described(): string {
    return this.#storage.owner ?? `a tensor of shape ${showShape(this.#shape)}`;
  }

  /** Describes it for display. */
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

  /** Where it lives, and whether it is alive. */
  get place(): Place {
    return { memory: this.#memory, live: this.#storage.live };
  }

  /** Makes disposing of this tensor free the memory, even if it is a view. */
  own(): void {
    this.#owner = true;
  }

  /** The type of its gradient. */
  get gradientDtype(): GradientType {
    return gradientType(this.#dtype);
  }

  /** Where to write the gradient, for a leaf that owns it; null for any other tensor. */
  gradientTarget(): GradientTarget | null {
    return null;
  }

  [Symbol.dispose](): void {
    if (this.#owner) this.#memory.release(this.#storage);
  }
}
