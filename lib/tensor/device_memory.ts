/** Device memory as tensors see it: allocation, scopes, and the active tape. @module */

import { DeviceError } from "../errors.ts";
import { Status } from "../ffi/codes.ts";
import type { KernelContext } from "../ffi/context.ts";
import { type DType, DTYPE_BYTES } from "./dtype.ts";
import type { Recorder } from "./recorder.ts";
import { MemoryScope, PauseScope } from "./scope.ts";
import { type CheckedShape, checkedShape, showShape } from "./shape_math.ts";
import type { Shape } from "./shape.ts";
import { Storage } from "./storage.ts";
import { DeviceTensor } from "./tensor.ts";

/** A tensor that is still alive, as {@linkcode Device.leaks} reports it. */
export interface LiveTensor {
  /** Size of its block in bytes. */
  readonly bytes: number;
  /** Stack trace of its creation; empty unless the device was opened with `debug`. */
  readonly site: string;
}

/** State of a random-number stream: Philox's key and counter. */
export interface Generator {
  /** The Philox key. */
  readonly seed: bigint;
  /** The optimizer step that draws; 0 for everything outside of training. */
  readonly step: number;
  /** Tensors drawn so far. */
  readonly draws: number;
}

/** One part in so many of a device's memory may hold logits that a gradient needs. */
export const LOGIT_SHARE = 16;

/** Allocates tensors, and keeps the stack of scopes and the active tape. */
export class DeviceMemory {
  /** The tape that is recording; null if none is. */
  recorder: Recorder | null = null;
  #generator: Generator;
  #innermost: MemoryScope;
  readonly #root: MemoryScope;
  #closed = false;
  #isDeferred = false;
  /** `cpu`, `cuda` or `emulated`; valid after the device is closed. */
  readonly backend: string;
  /**
   * The most bytes of logits that a recorded cross entropy keeps for its gradient. Recomputing them
   * costs a quarter of the head's work; beyond a share of the device's memory, memory matters more.
   */
  logitBytes: number;

  constructor(readonly kernels: KernelContext, readonly debug: boolean, readonly seed: bigint) {
    this.#generator = { seed, step: 0, draws: 0 };
    this.#root = new MemoryScope(this, null, "device");
    this.#innermost = this.#root;
    const { backend, memory_bytes: bytes } = kernels.info();
    this.backend = backend;
    this.logitBytes = bytes / LOGIT_SHARE;
  }

  /** Key and counter for the next random tensor. */
  nextDraw(): { readonly seed: bigint; readonly operation: number; readonly step: number } {
    const { seed, step, draws } = this.#generator;
    this.#generator = { seed, step, draws: draws + 1 };
    return { seed, operation: draws, step };
  }

  /** Current state of the random-number stream. */
  get generator(): Generator {
    return this.#generator;
  }

  /** Runs `make` with another random-number stream; the device's own is unaffected. */
  drawingFrom<T>(generator: Generator, make: () => T): T {
    const before = this.#generator;
    this.#generator = generator;
    try {
      return make();
    } finally {
      this.#generator = before;
    }
  }

  /** Runs `make` with another bound of kept logits. */
  keepingLogits<T>(bytes: number, make: () => T): T {
    const before = this.logitBytes;
    this.logitBytes = bytes;
    try {
      return make();
    } finally {
      this.logitBytes = before;
    }
  }

  /** Uninitialised memory for a tensor, owned by the innermost scope. */
  allocate<D extends DType, const S extends Shape>(dtype: D, shape: S): DeviceTensor<D, S> {
    return this.allocateIn(this.#innermost, dtype, shape);
  }

  /**
   * Allocates outside all scopes, for parameters and optimizer state; the caller owns the tensor.
   * `owner` is its name in messages, such as "the optimizer".
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

  /** Allocates in a given scope. */
  allocateIn<D extends DType, const S extends Shape>(
    scope: MemoryScope,
    dtype: D,
    shape: S,
  ): DeviceTensor<D, S> {
    const checked = checkedShape(shape);
    return new DeviceTensor(this, dtype, checked, this.#block(dtype, checked, scope), true);
  }

  /** Allocates a block and registers it with `scope`. */
  #block(dtype: DType, { shape, size }: CheckedShape, scope: MemoryScope): Storage {
    if (this.#closed) {
      throw new DeviceError(
        `Cannot make a tensor of shape ${showShape(shape)}: the device is closed`,
        { status: Status.invalidContext, operation: "allocate" },
      );
    }
    const bytes = size * DTYPE_BYTES[dtype];
    const site = this.debug ? new Error("made here") : null;
    const storage = new Storage(this.kernels.allocate(bytes), bytes, scope, site);
    scope.storages.add(storage);
    return storage;
  }

  /** A second tensor over the same memory. */
  view<D extends DType, S extends Shape>(
    of: DeviceTensor<D>,
    shape: CheckedShape<S>,
  ): DeviceTensor<D, S> {
    return new DeviceTensor(this, of.dtype, shape, of.storage, false);
  }

  /** Frees one block now. Freeing twice is harmless: scope and user may both do so. */
  release(storage: Storage): void {
    if (!storage.live || this.#closed) return;
    storage.live = false;
    storage.scope.storages.delete(storage);
    this.kernels.free([storage.address]);
  }

  /** Whether the device is closed, and with it all its tensors freed. */
  get closed(): boolean {
    return this.#closed;
  }

  openScope(): MemoryScope {
    return this.push(new MemoryScope(this, this.#innermost, "scope"));
  }

  /** Opens a scope in which nothing is recorded. */
  openPause(): MemoryScope {
    const pause = this.push(new PauseScope(this, this.#innermost, "pause"));
    this.recorder = null;
    return pause;
  }

  /**
   * Whether operations are recorded, now or when the backward pass runs them again: where a
   * recomputed function runs for the first time, nothing records.
   */
  get isRecording(): boolean {
    return this.recorder !== null || this.#isDeferred;
  }

  /** Runs what a tape will run again in its backward pass. */
  deferring<T>(run: () => T): T {
    const before = this.#isDeferred;
    this.#isDeferred = true;
    try {
      return run();
    } finally {
      this.#isDeferred = before;
    }
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

  /** Closes the innermost scope and frees what it holds in one call; closing twice is harmless. */
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

  /** Lists everything alive, outermost scope first. */
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
