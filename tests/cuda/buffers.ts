import type { KernelContext } from "../../lib/ffi/mod.ts";

type HostArray = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

/** Device memory for the duration of a test. */
export class Buffers implements Disposable {
  readonly #context: KernelContext;
  readonly #addresses: bigint[] = [];

  constructor(context: KernelContext) {
    this.#context = context;
  }

  /** Uninitialised memory. */
  empty(bytes: number): bigint {
    const address = this.#context.allocate(bytes);
    this.#addresses.push(address);
    return address;
  }

  /** Memory with a copy of a host array. */
  from(values: HostArray): bigint {
    const address = this.empty(values.byteLength);
    this.#context.writeBytes(address, bytesOf(values));
    return address;
  }

  /** Fills a host array from the device. */
  read<A extends HostArray>(address: bigint, values: A): A {
    this.#context.readBytes(address, bytesOf(values));
    return values;
  }

  [Symbol.dispose](): void {
    this.#context.free(this.#addresses);
  }
}

function bytesOf(values: HostArray): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
