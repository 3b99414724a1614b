import { assert, assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { DTypeCode, type KernelContext, Status } from "../../lib/ffi/mod.ts";
import { openKernels } from "./open_library.ts";

/** Calls a function that writes one handle. */
function create(
  kernels: KernelContext,
  name: "remoe_stream_create" | "remoe_event_create" | "remoe_capture_end",
): bigint {
  const out = new BigUint64Array(1);
  kernels.check(kernels.symbols[name](kernels.handle, out), name);
  return out[0]!;
}

Deno.test("work runs on its own stream", () => {
  using kernels = openKernels();
  const { symbols, handle } = kernels;
  const stream = create(kernels, "remoe_stream_create");
  const target = kernels.allocate(4);
  kernels.check(symbols.remoe_stream_use(handle, stream), "use");
  kernels.check(symbols.remoe_fill(handle, DTypeCode.f32, target, 2.5, 1n), "fill");
  kernels.check(symbols.remoe_stream_synchronize(handle, stream), "synchronize");
  const result = new Float32Array(1);
  kernels.readBytes(target, new Uint8Array(result.buffer));
  assertEquals(result[0], 2.5);
  kernels.check(symbols.remoe_stream_use(handle, 0n), "use");
  kernels.check(symbols.remoe_stream_destroy(handle, stream), "destroy");
  kernels.check(symbols.remoe_synchronize(handle), "synchronize");
});

Deno.test("streams and events that do not exist are refused", () => {
  using kernels = openKernels();
  const { symbols, handle } = kernels;
  const event = create(kernels, "remoe_event_create");
  kernels.check(symbols.remoe_event_destroy(handle, event), "destroy");
  const statuses = [
    symbols.remoe_stream_use(handle, 12345n),
    symbols.remoe_stream_destroy(handle, 12345n),
    symbols.remoe_event_record(handle, event),
    symbols.remoe_event_wait(handle, 0n),
    symbols.remoe_event_destroy(handle, event),
  ];
  assertEquals(statuses, statuses.map(() => Status.invalidArgument));
});

Deno.test("`remoe_event_elapsed()` measures the work between two events", () => {
  using kernels = openKernels();
  const { symbols, handle } = kernels;
  const [start, end] = [0, 1].map(() => create(kernels, "remoe_event_create"));
  const target = kernels.allocate(4 * 2 ** 22);
  kernels.check(symbols.remoe_event_record(handle, start!), "record");
  kernels.check(symbols.remoe_fill(handle, DTypeCode.f32, target, 1, 2n ** 22n), "fill");
  kernels.check(symbols.remoe_event_record(handle, end!), "record");
  kernels.check(symbols.remoe_event_wait(handle, end!), "wait");
  kernels.check(symbols.remoe_event_synchronize(handle, end!), "synchronize");
  const seconds = new Float64Array(1);
  kernels.check(symbols.remoe_event_elapsed(handle, start!, end!, seconds), "elapsed");
  assert(seconds[0]! > 0 && seconds[0]! < 60, `${seconds[0]} seconds`);
});

Deno.test("`remoe_event_elapsed()` refuses an event that was not recorded", () => {
  using kernels = openKernels();
  const { symbols, handle } = kernels;
  const [start, end] = [0, 1].map(() => create(kernels, "remoe_event_create"));
  kernels.check(symbols.remoe_event_record(handle, start!), "record");
  const status = symbols.remoe_event_elapsed(handle, start!, end!, new Float64Array(1));
  assertEquals(status, Status.invalidArgument);
});

Deno.test("a capture on a synchronous device returns graph 0, which cannot be launched", () => {
  using kernels = openKernels();
  const { symbols, handle } = kernels;
  const target = kernels.allocate(4);
  kernels.check(symbols.remoe_capture_begin(handle), "begin");
  kernels.check(symbols.remoe_fill(handle, DTypeCode.i32, target, 3, 1n), "fill");
  assertEquals(create(kernels, "remoe_capture_end"), 0n);
  assertEquals(symbols.remoe_graph_launch(handle, 0n), Status.invalidArgument);
  assertThrows(
    () => kernels.check(Status.invalidArgument, "launch"),
    DeviceError,
    "graph_launch: ",
  );
});

Deno.test("`remoe_capture_end()` refuses a capture that never began", () => {
  using kernels = openKernels();
  const status = kernels.symbols.remoe_capture_end(kernels.handle, new BigUint64Array(1));
  assertEquals(status, Status.invalidArgument);
});

Deno.test("pinned memory transfers bytes to the device and back", () => {
  using kernels = openKernels();
  const { symbols, handle } = kernels;
  const out = new BigUint64Array(1);
  kernels.check(symbols.remoe_pinned_allocate(handle, 1000n, out), "pinned");
  const pinned = out[0]!;
  const device = kernels.allocate(1000);
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
  kernels.check(symbols.remoe_pinned_write(handle, pinned, bytes, 1000n), "write");
  kernels.check(symbols.remoe_copy_from_pinned(handle, device, pinned, 1000n), "copy");
  kernels.check(symbols.remoe_synchronize(handle), "synchronize");
  kernels.check(symbols.remoe_pinned_write(handle, pinned, new Uint8Array(1000), 1000n), "write");
  kernels.check(symbols.remoe_copy_to_pinned(handle, pinned, device, 1000n), "copy");
  kernels.check(symbols.remoe_synchronize(handle), "synchronize");
  const result = new Uint8Array(1000);
  kernels.check(symbols.remoe_pinned_read(handle, result, pinned, 1000n), "read");
  assertEquals(result, bytes);
  kernels.check(symbols.remoe_pinned_free(handle, pinned), "free");
  assertEquals(symbols.remoe_pinned_free(handle, pinned), Status.invalidArgument);
  kernels.free([device]);
  assertEquals(kernels.statistics().blocks, 0);
});

Deno.test("probes measure plausible machine rates", () => {
  using kernels = openKernels();
  const { symbols, handle } = kernels;
  const result = new Float64Array(1);
  kernels.check(symbols.remoe_probe_fma(handle, DTypeCode.f32, 1, 0.05, result), "probe");
  assert(result[0]! > 0.1 && result[0]! < 10_000, `${result[0]} GFLOPS`);
  kernels.check(symbols.remoe_probe_copy(handle, 2n ** 22n, 0.05, result), "probe");
  assert(result[0]! > 0.01 && result[0]! < 10_000, `${result[0]} GB/s`);
});
