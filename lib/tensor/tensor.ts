/** Tensors: memory on a device with a type and a shape. @module */

import { DeviceError } from "../errors.ts";
import { Status } from "../ffi/codes.ts";
import type { DeviceMemory } from "./device_memory.ts";
import type { DType } from "./dtype.ts";
import type { GradientTarget, Recorder } from "./recorder.ts";
import { elementCount, showShape } from "./shape_math.ts";
import type { Shape } from "./shape.ts";
import type { Storage } from "./storage.ts";

/**
 * Memory on a device with an element type and a shape; data only, so that it is
 * covariant: `Tensor[]` holds any tensor. Operations are functions, `matmul(x, w)`.
 *
 * A tensor lives until its scope closes or it is disposed of, whichever is first;
 * using it after that throws.
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

/** What every {@linkcode Tensor} is underneath; not part of the public API. */
export class DeviceTensor<D extends DType = DType, S extends Shape = Shape>
  implements Tensor<D, S> {
  readonly size: number;
  /** The tape on which a gradient flows to this tensor. */
  tracker: Recorder | null = null;

  constructor(
    readonly memory: DeviceMemory,
    readonly dtype: D,
    readonly shape: S,
    readonly storage: Storage,
    /** False for a view: disposing of a view leaves the memory. */
    private owner: boolean,
  ) {
    this.size = elementCount(shape);
  }

  /** Device address of the first element. */
  get address(): bigint {
    if (!this.storage.live) {
      throw new ReferenceError(
        `Cannot use a tensor of shape ${showShape(this.shape)} after its memory was freed: ` +
          `keep it with scope.keep() or use it before its scope closes`,
      );
    }
    return this.storage.address;
  }

  /** Lets disposing of this tensor free the memory, even if it is a view. */
  own(): void {
    this.owner = true;
  }

  /** Where a leaf that owns its gradient wants it written; null for every other tensor. */
  gradientTarget(): GradientTarget | null {
    return null;
  }

  [Symbol.dispose](): void {
    if (this.owner) this.memory.release(this.storage);
  }
}

/** The tensor's inner side; refuses values that are not tensors of this library. */
export function internal<D extends DType, S extends Shape>(
  tensor: Tensor<D, S>,
): DeviceTensor<D, S> {
  if (tensor instanceof DeviceTensor) return tensor as DeviceTensor<D, S>;
  throw new TypeError("Cannot use this value as a tensor: it was not made by a Device");
}

/**
 * The inner sides of the tensors an operation works on together, which must live on one device:
 * an address means nothing to another one.
 */
export function operands<const T extends readonly Tensor[]>(
  operation: string,
  ...tensors: T
): { [I in keyof T]: T[I] extends Tensor<infer D, infer S> ? DeviceTensor<D, S> : never } {
  const inner = tensors.map((tensor) => internal(tensor));
  for (let i = 1; i < inner.length; i++) {
    if (inner[i]!.memory !== inner[0]!.memory) throw strangers(operation, inner[0]!, inner[i]!);
  }
  return inner as {
    [I in keyof T]: T[I] extends Tensor<infer D, infer S> ? DeviceTensor<D, S> : never;
  };
}

function strangers(operation: string, a: DeviceTensor, b: DeviceTensor): DeviceError {
  return new DeviceError(
    `Cannot ${operation} ${showShape(a.shape)} and ${
      showShape(b.shape)
    }: they live on two devices; ` +
      `make both on one, or copy one with device.from(await read(x), x.shape)`,
    { operation, status: Status.invalidArgument },
  );
}

/** Refuses an object of another device than `memory`, such as a parameter or a step's state. */
export function requireDevice(operation: string, memory: DeviceMemory, of: DeviceTensor): void {
  if (of.memory === memory) return;
  throw new DeviceError(
    `Cannot ${operation} a tensor of shape ${showShape(of.shape)}: it lives on another device; ` +
      `make both on one`,
    { operation, status: Status.invalidArgument },
  );
}
