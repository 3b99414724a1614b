import type { HostBuffer } from "./host_buffer.ts";

/** Streams, events and captured graphs. `kernels/include/remoe.h` has the shapes. */
export interface StreamSymbols {
  /** Writes a new stream. */
  remoe_stream_create(context: bigint, stream: HostBuffer): number;
  /** Destroys a stream. */
  remoe_stream_destroy(context: bigint, stream: bigint): number;
  /** Enqueues later calls on a stream; 0 is the first one. */
  remoe_stream_use(context: bigint, stream: bigint): number;
  /** Waits for a stream. */
  remoe_stream_synchronize(context: bigint, stream: bigint): number;
  /** Waits for the device. */
  remoe_synchronize(context: bigint): number;
  /** Writes a new event. */
  remoe_event_create(context: bigint, event: HostBuffer): number;
  /** Destroys an event. */
  remoe_event_destroy(context: bigint, event: bigint): number;
  /** Records an event on the current stream. */
  remoe_event_record(context: bigint, event: bigint): number;
  /** Lets the current stream wait for an event. */
  remoe_event_wait(context: bigint, event: bigint): number;
  /** Waits for an event. */
  remoe_event_synchronize(context: bigint, event: bigint): number;
  /** Writes the seconds between two events. */
  remoe_event_elapsed(context: bigint, start: bigint, end: bigint, seconds: HostBuffer): number;
  /** Captures later calls as a graph. */
  remoe_capture_begin(context: bigint): number;
  /** Ends the capture and writes the graph; 0 where nothing was captured. */
  remoe_capture_end(context: bigint, graph: HostBuffer): number;
  /** Enqueues a captured graph. */
  remoe_graph_launch(context: bigint, graph: bigint): number;
  /** Destroys a captured graph. */
  remoe_graph_destroy(context: bigint, graph: bigint): number;
}

/** The C types of {@linkcode StreamSymbols}, in the order of declaration. */
export const STREAM_SYMBOLS = {
  remoe_stream_create: {
    parameters: ["u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_stream_destroy: {
    parameters: ["u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_stream_use: {
    parameters: ["u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_stream_synchronize: {
    parameters: ["u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_synchronize: {
    parameters: ["u64"],
    result: "i32",
    optional: true,
  },
  remoe_event_create: {
    parameters: ["u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_event_destroy: {
    parameters: ["u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_event_record: {
    parameters: ["u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_event_wait: {
    parameters: ["u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_event_synchronize: {
    parameters: ["u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_event_elapsed: {
    parameters: ["u64", "u64", "u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_capture_begin: {
    parameters: ["u64"],
    result: "i32",
    optional: true,
  },
  remoe_capture_end: {
    parameters: ["u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_graph_launch: {
    parameters: ["u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_graph_destroy: {
    parameters: ["u64", "u64"],
    result: "i32",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;
