/** Device memory as tensors see it: allocation, scopes, and who records. @module */

import { DeviceError } from "../errors.ts";
import { Status } from "../ffi/codes.ts";
import type { KernelContext } from "../ffi/context.ts";
import { type DType, DTYPE_BYTES } from "./dtype.ts";
import type { Recorder } from "./recorder.ts";
import { MemoryScope, PauseScope } from "./scope.ts";
import { elementCount, ownShape, showShape } from "./shape_math.ts";
import type { Shape } from "./shape.ts";
import { Storage } from "./storage.ts";
import { DeviceTensor } from "./tensor.ts";

/** A tensor that is still alive, as {@linkcode Device.leaks} reports it. */
export interface LiveTensor {
  /** Bytes of its block. */
  readonly bytes: number;
  /** Where it was made; empty unless the device was opened with `debug`. */
  readonly site: string;
}

/** Where a stream of random numbers stands: Philox's key and counter. */
export interface Generator {
  /** The key. */
  readonly seed: bigint;
  /** The optimizer step that draws; 0 for everything outside of training. */
  readonly step: number;
  /** Tensors drawn so far. */
  readonly draws: number;
}

/** Allocates tensors, keeps the stack of scopes, and knows the tape that records. */
export class DeviceMemory {
  /** The tape that records now; null where nothing does. */
  recorder: Recorder | null = null;
  #generator: Generator;
  #innermost: MemoryScope;
  readonly #root: MemoryScope;
  #closed = false;
  /** `cpu`, `cuda` or `emulated`; a closed device still knows. */
  readonly backend: string;

  constructor(readonly kernels: KernelContext, readonly debug: boolean, readonly seed: bigint) {
    this.#generator = { seed, step: 0, draws: 0 };
    this.#root = new MemoryScope(this, null, "device");
    this.#innermost = this.#root;
    this.backend = kernels.info().backend;
  }

  /** What the next random tensor is drawn from. */
  nextDraw(): { readonly seed: bigint; readonly operation: number; readonly step: number } {
    const { seed, step, draws } = this.#generator;
    this.#generator = { seed, step, draws: draws + 1 };
    return { seed, operation: draws, step };
  }

  /** Where the random numbers stand. */
  get generator(): Generator {
    return this.#generator;
  }

  /**
   * Makes something from random numbers of its own: whatever was drawn before does not count, and the
   * stream of the device goes on as if nothing had been drawn.
   */
  drawingFrom<T>(generator: Generator, make: () => T): T {
    const before = this.#generator;
    this.#generator = generator;
    try {
      return make();
    } finally {
      this.#generator = before;
    }
  }

  /** Uninitialised memory for a tensor, owned by the innermost scope. */
  allocate<D extends DType, const S extends Shape>(dtype: D, shape: S): DeviceTensor<D, S> {
    return this.allocateIn(this.#innermost, dtype, shape);
  }

  /**
   * The same, owned by whoever asks: parameters and optimizer state outlive every scope. `owner`
   * is what messages call it once it is disposed of, such as "the optimizer".
   */
  allocateAtRoot<D extends DType, const S extends Shape>(
    dtype: D,
    shape: S,
    owner: string | null = null,
  ): DeviceTensor<D, S> {
    const tensor = this.allocateIn(this.#root, dtype, shape);
    tensor.storage.owner = owner;
    return tensor;
  }

  /** The same, owned by a given scope. */
  allocateIn<D extends DType, const S extends Shape>(
    scope: MemoryScope,
    dtype: D,
    shape: S,
  ): DeviceTensor<D, S> {
    const own = ownShape(shape);
    return new DeviceTensor(this, dtype, own, this.#block(dtype, own, scope), true);
  }

  /** A block for `shape`, in the books of `scope`. */
  #block(dtype: DType, shape: Shape, scope: MemoryScope): Storage {
    if (this.#closed) {
      throw new DeviceError(
        `Cannot make a tensor of shape ${showShape(shape)}: the device is closed`,
        { status: Status.invalidContext, operation: "allocate" },
      );
    }
    const bytes = elementCount(shape) * DTYPE_BYTES[dtype];
    const site = this.debug ? new Error("made here") : null;
    const storage = new Storage(this.kernels.allocate(bytes), bytes, scope, site);
    scope.storages.add(storage);
    return storage;
  }

  /** A second tensor over the same memory. */
  view<D extends DType, const S extends Shape>(of: DeviceTensor<D>, shape: S): DeviceTensor<D, S> {
    return new DeviceTensor(this, of.dtype, shape, of.storage, false);
  }

  /** Frees one block now. Freeing twice is no error: a scope and its user may both try. */
  release(storage: Storage): void {
    if (!storage.live || this.#closed) return;
    storage.live = false;
    storage.scope.storages.delete(storage);
    this.kernels.free([storage.address]);
  }

  /** Whether the device is closed, and every tensor of it dead. */
  get closed(): boolean {
    return this.#closed;
  }

  openScope(): MemoryScope {
    return this.push(new MemoryScope(this, this.#innermost, "scope"));
  }

  /** A scope in which nothing is recorded. */
  openPause(): MemoryScope {
    const pause = this.push(new PauseScope(this, this.#innermost, "pause"));
    this.recorder = null;
    return pause;
  }

  get innermost(): MemoryScope {
    return this.#innermost;
  }

  /** Makes a scope the innermost. */
  push<T extends MemoryScope>(scope: T): T {
    if (this.#closed) {
      throw new DeviceError("Cannot open a scope: the device is closed", {
        status: Status.invalidContext,
        operation: "scope",
      });
    }
    this.#innermost = scope;
    return scope;
  }

  /** Closes the innermost scope and frees what it holds in one call; twice is once. */
  closeScope(scope: MemoryScope): void {
    if (this.#closed || scope.closed) return;
    if (scope !== this.#innermost) {
      throw new Error(
        "Cannot close a scope while one opened later is still open: close them last in, first out",
        { cause: { closing: scope.site, stillOpen: this.#innermost.site } },
      );
    }
    scope.closed = true;
    this.#innermost = scope.parent ?? scope;
    this.recorder = recorderAt(this.#innermost);
    this.#freeAll(scope);
  }

  #freeAll(scope: MemoryScope): void {
    if (scope.storages.size === 0) return;
    const addresses = new BigUint64Array(scope.storages.size);
    let count = 0;
    for (const storage of scope.storages) {
      storage.live = false;
      addresses[count++] = storage.address;
    }
    scope.storages.clear();
    this.kernels.free(addresses);
  }

  /** Everything alive, outermost scope first. */
  live(): LiveTensor[] {
    const found: LiveTensor[] = [];
    for (let scope: MemoryScope | null = this.#innermost; scope !== null; scope = scope.parent) {
      for (const storage of scope.storages) {
        found.push({ bytes: storage.bytes, site: storage.site?.stack ?? "" });
      }
    }
    return found.reverse();
  }

  /** Frees everything and closes the kernel context. */
  close(): void {
    if (this.#closed) return;
    for (let scope: MemoryScope | null = this.#innermost; scope !== null; scope = scope.parent) {
      for (const storage of scope.storages) storage.live = false;
      scope.storages.clear();
    }
    this.#closed = true;
    this.kernels.close();
  }
}

/** The innermost tape at or around a scope; a pause in between hides it. */
function recorderAt(scope: MemoryScope): Recorder | null {
  for (let at: MemoryScope | null = scope; at !== null; at = at.parent) {
    if (at instanceof PauseScope) return null;
    if (isRecorder(at)) return at;
  }
  return null;
}

function isRecorder(scope: MemoryScope): scope is MemoryScope & Recorder {
  return "record" in scope;
}
