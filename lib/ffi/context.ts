import { DeviceError } from "../errors.ts";
import { Status } from "./codes.ts";
import { statusName } from "./status.ts";
import { type KernelLibrary, readText } from "./library.ts";
import type { KernelSymbols } from "./symbols.ts";

/** Options for opening a context. */
export interface ContextOptions {
  /** Index of the device. Default 0, the only one on a CPU. */
  readonly ordinal?: number;
  /** CPU threads; 0 means one per available core. Default 0. */
  readonly threads?: number;
  /** Whether closing the context also closes the library. Default false. */
  readonly ownsLibrary?: boolean;
}

/** Memory counters of a context. */
export interface MemoryStatistics {
  /** Bytes requested for live blocks. */
  readonly inUse: number;
  /** Peak of the bytes in use since the context was opened or the peak reset. */
  readonly peak: number;
  /** Bytes obtained from the system, in use or cached. */
  readonly held: number;
  /** Live blocks. */
  readonly blocks: number;
}

/** Facts about a context's device, from `remoe_context_info`. */
export interface ContextInfo {
  /** `cpu`, `cuda` or `emulated`. */
  readonly backend: string;
  /** The device's name. */
  readonly name: string;
  /** The instruction set chosen, such as `avx512`; on CUDA the architecture. */
  readonly isa: string;
  /** CPU threads. */
  readonly threads: number;
  /** Threads requested, if OpenMP grants fewer. */
  readonly threads_wanted?: number;
  /** The setting that limits them, such as `OMP_THREAD_LIMIT=1`. */
  readonly threads_limit?: string;
  /** Implementation of dense matrix products. */
  readonly gemm: string;
  /** The unit that computes bf16 products, or `fp32` where they are widened. */
  readonly bf16: string;
  /** Memory of the device in bytes. */
  readonly memory_bytes: number;
}

/** Replaces the functions of a closed context: calling an unloaded library would crash. */
const CLOSED_SYMBOLS = new Proxy({}, {
  get: () => () => Status.invalidContext,
}) as KernelSymbols;

/** Longest message read from a library; longer ones are truncated. */
const MESSAGE_BYTES = 4096;

/**
 * An open device of a kernel library, with its memory pool.
 *
 * Call its functions through `symbols` with `handle` as the first argument, and pass each status to
 * {@linkcode KernelContext.check}:
 *
 * ```ts ignore
 * k.check(k.symbols.remoe_fill(k.handle, DTypeCode.f32, address, 0, 16n), "fill");
 * ```
 */
export class KernelContext implements Disposable {
  /** The library it belongs to. */
  readonly library: KernelLibrary;
  /** The library's functions; once closed, stubs that return `Status.invalidContext`. */
  symbols: KernelSymbols;
  /** The first argument of every call; 0 once closed. */
  handle: bigint;

  readonly #ownsLibrary: boolean;
  // Out-parameters, reused: a fresh typed array costs more than the call it serves.
  readonly #out = new BigUint64Array(4);
  readonly #message = new Uint8Array(MESSAGE_BYTES);
  #addresses = new BigUint64Array(64);

  private constructor(library: KernelLibrary, handle: bigint, ownsLibrary: boolean) {
    this.library = library;
    this.symbols = library.symbols;
    this.handle = handle;
    this.#ownsLibrary = ownsLibrary;
  }

  /**
   * Opens a device of a library.
   *
   * @param library The open library.
   * @param options Device, threads, and library ownership.
   * @returns The context; the caller closes it.
   * @throws {DeviceError} If there is no such device, or it has no driver or too little memory. The
   * library stays open.
   */
  static create(library: KernelLibrary, options: ContextOptions = {}): KernelContext {
    const { ordinal = 0, threads = 0, ownsLibrary = false } = options;
    const handle = new BigUint64Array(1);
    const message = new Uint8Array(MESSAGE_BYTES);
    const length = BigInt(message.length);
    const status = library.symbols.remoe_context_create(ordinal, threads, handle, message, length);
    if (status !== Status.ok) {
      const end = message.indexOf(0);
      const reason = new TextDecoder().decode(message.subarray(0, end < 0 ? undefined : end));
      throw new DeviceError(
        `Cannot open device ${ordinal} of "${library.path}": ${reason || statusName(status)}`,
        { status, operation: "context" },
      );
    }
    return new KernelContext(library, handle[0]!, ownsLibrary);
  }

  /**
   * Throws unless a call succeeded.
   *
   * @param status The status the library returned.
   * @param operation The operation's public name, such as `matmul`.
   * @throws {DeviceError} With the status and the library's message, unless `status` is 0.
   */
  check(status: number, operation: string): void {
    if (status !== Status.ok) throw this.#failure(status, operation);
  }

  /**
   * Allocates uninitialised device memory.
   *
   * @param bytes Size, at least 1.
   * @returns The address.
   * @throws {DeviceError} If the memory is exhausted.
   */
  allocate(bytes: number): bigint {
    this.check(
      this.symbols.remoe_memory_allocate(this.handle, BigInt(bytes), this.#out),
      "allocate",
    );
    return this.#out[0]!;
  }

  /**
   * Frees blocks of device memory in one call: all of them, or none if any is not a live block.
   *
   * @param addresses Addresses from {@linkcode KernelContext.allocate}.
   * @param count Number of addresses to free, from the first. Default all.
   * @throws {DeviceError} If an address is not a live block.
   */
  free(addresses: BigUint64Array<ArrayBuffer> | readonly bigint[], count?: number): void {
    const blocks = count ?? addresses.length;
    if (blocks > addresses.length) {
      throw new RangeError(
        `Cannot free ${blocks} blocks: the list holds ${addresses.length} addresses`,
      );
    }
    if (blocks === 0) return;
    const list = addresses instanceof BigUint64Array ? addresses : this.#pack(addresses, blocks);
    this.check(this.symbols.remoe_memory_free(this.handle, list, blocks), "free");
  }

  /**
   * Reads the memory pool's counters.
   *
   * @returns Bytes and blocks.
   */
  statistics(): MemoryStatistics {
    const out = this.#out;
    this.check(this.symbols.remoe_memory_statistics(this.handle, out), "memory statistics");
    return {
      inUse: Number(out[0]),
      peak: Number(out[1]),
      held: Number(out[2]),
      blocks: Number(out[3]),
    };
  }

  /**
   * Copies host bytes to the device. The buffer may be reused on return.
   *
   * @param address Destination on the device.
   * @param bytes Source; may be a view into a larger buffer.
   */
  writeBytes(address: bigint, bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length === 0) return;
    this.check(
      this.symbols.remoe_copy_from_host(this.handle, address, bytes, BigInt(bytes.length)),
      "write",
    );
  }

  /**
   * Copies bytes from the device to the host, after all work enqueued before.
   *
   * @param address Source on the device.
   * @param bytes Destination, filled completely.
   */
  readBytes(address: bigint, bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length === 0) return;
    this.check(
      this.symbols.remoe_copy_to_host(this.handle, bytes, address, BigInt(bytes.length)),
      "read",
    );
  }

  /**
   * Queries the library for facts about the device.
   *
   * @returns Name, instruction set, threads and memory.
   */
  info(): ContextInfo {
    if (this.handle === 0n) throw this.#failure(Status.invalidContext, "device information");
    const text = readText((buffer, length) =>
      this.symbols.remoe_context_info(this.handle, buffer, length)
    );
    if (text === "") throw this.#failure(Status.invalidContext, "device information");
    return JSON.parse(text) as ContextInfo;
  }

  /** Waits for the device, frees all its memory and closes it. Closing twice is harmless. */
  close(): void {
    if (this.handle === 0n) return;
    this.symbols.remoe_context_destroy(this.handle);
    this.handle = 0n;
    this.symbols = CLOSED_SYMBOLS;
    if (this.#ownsLibrary) this.library.close();
  }

  /** Closes the context at the end of a `using` block; never throws. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Packs addresses into a reused buffer that grows by doubling. */
  #pack(addresses: readonly bigint[], count: number): BigUint64Array<ArrayBuffer> {
    if (this.#addresses.length < count) {
      this.#addresses = new BigUint64Array(Math.max(count, 2 * this.#addresses.length));
    }
    for (let i = 0; i < count; i++) this.#addresses[i] = addresses[i]!;
    return this.#addresses;
  }

  #failure(status: number, operation: string): DeviceError {
    const message = this.handle === 0n
      ? "the device is closed"
      : this.#lastMessage() || explanation(status);
    return new DeviceError(
      `Cannot complete ${operation} (${statusName(status)}): ${message}`,
      { status, operation },
    );
  }

  /** Reads and thereby clears the message, so that no error carries an earlier call's. */
  #lastMessage(): string {
    const buffer = this.#message;
    const length = BigInt(buffer.length);
    const needed = this.symbols.remoe_context_message(this.handle, buffer, length);
    return new TextDecoder().decode(buffer.subarray(0, Math.min(needed, buffer.length)));
  }
}

/** Explains a status for which the library left no message. */
function explanation(status: number): string {
  switch (status) {
    case Status.unsupported:
      return "this build of the kernel library does not have the operation";
    case Status.invalidContext:
      return "the device is closed or was never open";
    default:
      return "the kernel library left no message";
  }
}
