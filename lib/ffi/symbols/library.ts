import type { HostBuffer } from "./host_buffer.ts";

/** Library, context, memory and copies. `kernels/include/remoe.h` has the shapes. */
export interface LibrarySymbols {
  /** The version of the contract. */
  remoe_abi_version(): number;
  /** Writes the build as JSON and returns the bytes needed. */
  remoe_build_info(buffer: HostBuffer, length: bigint): number;
  /** Opens device `ordinal`; writes the context, or the reason it cannot. */
  remoe_context_create(
    ordinal: number,
    threads: number,
    context: HostBuffer,
    message: HostBuffer,
    length: bigint,
  ): number;
  /** Frees all memory of a context and closes it. */
  remoe_context_destroy(context: bigint): number;
  /** Writes the message of the last failure and returns the bytes needed. */
  remoe_context_message(context: bigint, buffer: HostBuffer, length: bigint): number;
  /** Writes the open device as JSON and returns the bytes needed. */
  remoe_context_info(context: bigint, buffer: HostBuffer, length: bigint): number;
  /** Writes the address of uninitialised device memory. */
  remoe_memory_allocate(context: bigint, bytes: bigint, address: HostBuffer): number;
  /** Frees blocks: all, or none if one is not live. */
  remoe_memory_free(context: bigint, addresses: HostBuffer, count: number): number;
  /** Writes bytes in use, peak bytes, bytes held, live blocks. */
  remoe_memory_statistics(context: bigint, statistics: HostBuffer): number;
  /** Sets the peak to the bytes in use. */
  remoe_memory_reset_peak(context: bigint): number;
  /** Returns unused blocks to the system. */
  remoe_memory_trim(context: bigint): number;
  /** Copies host memory to the device. */
  remoe_copy_from_host(context: bigint, target: bigint, source: HostBuffer, bytes: bigint): number;
  /** Copies device memory to the host; waits. */
  remoe_copy_to_host(context: bigint, target: HostBuffer, source: bigint, bytes: bigint): number;
  /** Copies within the device. */
  remoe_copy(context: bigint, target: bigint, source: bigint, bytes: bigint): number;
  /** Sets `count` elements to `value`. */
  remoe_fill(context: bigint, dtype: number, target: bigint, value: number, count: bigint): number;
  /** Writes the address of page-locked host memory. */
  remoe_pinned_allocate(context: bigint, bytes: bigint, address: HostBuffer): number;
  /** Frees page-locked memory. */
  remoe_pinned_free(context: bigint, address: bigint): number;
  /** Copies host memory to page-locked memory. */
  remoe_pinned_write(context: bigint, pinned: bigint, source: HostBuffer, bytes: bigint): number;
  /** Copies page-locked memory to host memory. */
  remoe_pinned_read(context: bigint, target: HostBuffer, pinned: bigint, bytes: bigint): number;
  /** Enqueues a copy from page-locked memory to the device. */
  remoe_copy_from_pinned(context: bigint, target: bigint, pinned: bigint, bytes: bigint): number;
  /** Enqueues a copy from the device to page-locked memory. */
  remoe_copy_to_pinned(context: bigint, pinned: bigint, source: bigint, bytes: bigint): number;
}

/** The C types of {@linkcode LibrarySymbols}, in the order of declaration. */
export const LIBRARY_SYMBOLS = {
  remoe_abi_version: {
    parameters: [],
    result: "i32",
  },
  remoe_build_info: {
    parameters: ["buffer", "u64"],
    result: "i32",
  },
  remoe_context_create: {
    parameters: ["i32", "i32", "buffer", "buffer", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_context_destroy: {
    parameters: ["u64"],
    result: "i32",
    optional: true,
  },
  remoe_context_message: {
    parameters: ["u64", "buffer", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_context_info: {
    parameters: ["u64", "buffer", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_memory_allocate: {
    parameters: ["u64", "u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_memory_free: {
    parameters: ["u64", "buffer", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_memory_statistics: {
    parameters: ["u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_memory_reset_peak: {
    parameters: ["u64"],
    result: "i32",
    optional: true,
  },
  remoe_memory_trim: {
    parameters: ["u64"],
    result: "i32",
    optional: true,
  },
  remoe_copy_from_host: {
    parameters: ["u64", "u64", "buffer", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_copy_to_host: {
    parameters: ["u64", "buffer", "u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_copy: {
    parameters: ["u64", "u64", "u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_fill: {
    parameters: ["u64", "i32", "u64", "f64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_pinned_allocate: {
    parameters: ["u64", "u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_pinned_free: {
    parameters: ["u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_pinned_write: {
    parameters: ["u64", "u64", "buffer", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_pinned_read: {
    parameters: ["u64", "buffer", "u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_copy_from_pinned: {
    parameters: ["u64", "u64", "u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_copy_to_pinned: {
    parameters: ["u64", "u64", "u64", "u64"],
    result: "i32",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;
