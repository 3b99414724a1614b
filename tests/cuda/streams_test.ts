import { Buffer } from "node:buffer";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { inputsOf } from "../../kernels/cases/case.ts";
import { assertMatchesReference } from "../../kernels/cases/check.ts";
import { dispatchPlanCase } from "../../kernels/cases/dispatch_plan.ts";
import { runCase } from "../../kernels/cases/placed_case.ts";
import { reluRouterCase } from "../../kernels/cases/relu_router.ts";
import { DeviceError } from "../../lib/errors.ts";
import { DTypeCode, type KernelContext } from "../../lib/ffi/mod.ts";
import { Buffers } from "./buffers.ts";
import { type Emulator, missingCompiler, openEmulator, skipped } from "./emulator.ts";

const ignore = missingCompiler !== undefined;

function handle(create: (out: BigUint64Array<ArrayBuffer>) => number): bigint {
  const out = new BigUint64Array(1);
  assertEquals(create(out), 0);
  return out[0]!;
}

/** Fills on one stream, copies on another, and returns what the copy got. */
function copyAcrossStreams(k: KernelContext, withEvent: boolean): number {
  const f = k.symbols;
  using memory = new Buffers(k);
  const [source, target] = [memory.from(new Float32Array(100)), memory.from(new Float32Array(100))];
  k.check(f.remoe_synchronize(k.handle), "synchronize");
  const stream = handle((out) => f.remoe_stream_create(k.handle, out));
  const event = handle((out) => f.remoe_event_create(k.handle, out));
  k.check(f.remoe_fill(k.handle, DTypeCode.f32, source, 7, 100n), "fill");
  k.check(f.remoe_event_record(k.handle, event), "record");
  k.check(f.remoe_stream_use(k.handle, stream), "use");
  if (withEvent) k.check(f.remoe_event_wait(k.handle, event), "wait");
  k.check(f.remoe_copy(k.handle, target, source, 400n), "copy");
  const [value = NaN] = memory.read(target, new Float32Array(100));
  k.check(f.remoe_synchronize(k.handle), "synchronize");
  k.check(f.remoe_stream_use(k.handle, 0n), "use");
  k.check(f.remoe_event_destroy(k.handle, event), "destroy");
  k.check(f.remoe_stream_destroy(k.handle, stream), "destroy");
  return value;
}

/** How many of 20 stream orders let the copy see the fill. */
function timesSeen(emulator: Emulator, withEvent: boolean): number {
  let seen = 0;
  for (let seed = 1; seed <= 20; seed++) {
    emulator.configure({ deferred: true, seed });
    if (copyAcrossStreams(emulator.context, withEvent) === 7) seen++;
  }
  return seen;
}

Deno.test(`emulated operations give the same results on deferred streams${skipped}`, {
  ignore,
}, async () => {
  for (const race of [false, true]) {
    using emulator = await openEmulator({ race });
    emulator.configure({ deferred: true, seed: 4 });
    const k = emulator.context;
    assertMatchesReference(k, reluRouterCase({ tokens: 100, hidden: 20, experts: 36 }));
    assertMatchesReference(k, dispatchPlanCase({ tokens: 100, experts: 36, density: 0.5 }));
    assertEquals(await emulator.locatedReports(), []);
  }
});

Deno.test(`emulated streams honour the order of events, and no other${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  assertEquals(timesSeen(emulator, true), 20);
  const withoutEvent = timesSeen(emulator, false);
  assert(withoutEvent < 20, "a missing event wait must show in some order of the streams");
});

Deno.test(`emulated copies from the host let it reuse its buffer at once${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  emulator.configure({ deferred: true, seed: 6 });
  const k = emulator.context;
  using memory = new Buffers(k);
  // Pieces that end where the ring does; pieces that do not; and more than it holds.
  const sizes = [24 * 2 ** 20, 1, 100, 2 ** 21, 2 ** 21 + 4, 3 * 2 ** 20 + 1, 20 * 2 ** 20 + 7, 5];
  const buffer = new Uint8Array(Math.max(...sizes));
  const fillWith = (seed: number): void => {
    for (let i = 0; i < buffer.length; i += 999) buffer.fill(7 * i + seed, i, i + 999);
  };
  const targets = sizes.map((size) => memory.empty(size));
  for (let i = 0; i < sizes.length; i++) {
    fillWith(i);
    k.writeBytes(targets[i]!, buffer.subarray(0, sizes[i]));
  }
  for (let i = 0; i < sizes.length; i++) {
    fillWith(i);
    const received = new Uint8Array(sizes[i]!);
    k.readBytes(targets[i]!, received);
    assertEquals(Buffer.compare(received, buffer.subarray(0, sizes[i])), 0, `${sizes[i]} bytes`);
  }
});

Deno.test(`emulated events measure the time between them${skipped}`, { ignore }, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const f = k.symbols;
  const start = handle((out) => f.remoe_event_create(k.handle, out));
  const end = handle((out) => f.remoe_event_create(k.handle, out));
  k.check(f.remoe_event_record(k.handle, start), "record");
  const router = reluRouterCase({ tokens: 64, hidden: 64, experts: 32 });
  runCase(k, router, inputsOf(router));
  k.check(f.remoe_event_record(k.handle, end), "record");
  const seconds = new Float64Array(1);
  k.check(f.remoe_event_elapsed(k.handle, start, end, seconds), "elapsed");
  assert(seconds[0]! > 0 && seconds[0]! < 60, `${seconds[0]} s`);
});

Deno.test(`emulated pinned memory is copied in stream order${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const f = k.symbols;
  using memory = new Buffers(k);
  const device = memory.empty(16);
  const pinned = handle((out) => f.remoe_pinned_allocate(k.handle, 16n, out));
  emulator.configure({ deferred: true });
  const [sent, received] = [Uint8Array.from({ length: 16 }, (_, i) => i), new Uint8Array(16)];
  k.check(f.remoe_pinned_write(k.handle, pinned, sent, 16n), "write");
  k.check(f.remoe_copy_from_pinned(k.handle, device, pinned, 16n), "copy");
  k.check(f.remoe_synchronize(k.handle), "synchronize");
  k.check(f.remoe_pinned_write(k.handle, pinned, new Uint8Array(16), 16n), "write");
  k.check(f.remoe_copy_to_pinned(k.handle, pinned, device, 16n), "copy");
  k.check(f.remoe_pinned_read(k.handle, received, pinned, 16n), "read");
  assertEquals(received, new Uint8Array(16), "nothing has waited for the copy yet");
  k.check(f.remoe_synchronize(k.handle), "synchronize");
  k.check(f.remoe_pinned_read(k.handle, received, pinned, 16n), "read");
  assertEquals(received, sent);
  const past = f.remoe_pinned_read(k.handle, received, pinned + 8n, 16n);
  assertThrows(() => k.check(past, "read"), DeviceError, "pass the end of the pinned block");
  k.check(f.remoe_pinned_free(k.handle, pinned), "free");
});
