import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { DTypeCode, KernelContext, openContext, openLibrary, Status } from "../../lib/ffi/mod.ts";

async function open(threads = 1): Promise<KernelContext> {
  return (await openContext({ threads })).context;
}

Deno.test("`KernelContext.create()` opens a device with the requested threads", async () => {
  using context = await open(1);
  assert(context.handle !== 0n);
  assertEquals(context.info().threads, 1);
  assertEquals(context.info().backend, context.library.buildInfo.backend);
});

Deno.test("`KernelContext.create()` says why there is no such device", async () => {
  using first = await open();
  const { library } = first;
  const error = assertThrows(
    () => KernelContext.create(library, { ordinal: 7 }),
    DeviceError,
    "Cannot open device 7 of ",
  );
  assertEquals(error.status, Status.noDevice);
  assertThrows(() => KernelContext.create(library, { threads: -1 }), DeviceError);
});

Deno.test("closing twice is harmless, and later calls say that the device is closed", async () => {
  const context = await open();
  context.close();
  context.close();
  assertEquals(context.handle, 0n);
});

Deno.test("calls on a closed context fail with a message while its library is open", async () => {
  using keeper = await open();
  const context = KernelContext.create(keeper.library, { threads: 1 });
  const { handle } = context;
  context.close();
  const error = assertThrows(() => context.allocate(64), DeviceError, "the device is closed");
  assertEquals(error.status, Status.invalidContext);
  // The old handle refers to no context any more, nor to a later one.
  using later = KernelContext.create(keeper.library, { threads: 1 });
  assert(later.handle !== handle);
  assertEquals(keeper.symbols.remoe_synchronize(handle), Status.invalidContext);
});

Deno.test("two contexts of one library have separate memory", async () => {
  using first = await open();
  using second = KernelContext.create(first.library, { threads: 1 });
  const address = first.allocate(1000);
  assertEquals(second.statistics().blocks, 0);
  assertThrows(() => second.free([address]), DeviceError);
  first.free([address]);
});

Deno.test("`check()` passes success and throws the library's message for failure", async () => {
  using context = await open();
  const { symbols, handle } = context;
  context.check(Status.ok, "nothing");
  const status = symbols.remoe_fill(handle, DTypeCode.f32, 0n, 1, 4n);
  const error = assertThrows(() => context.check(status, "ones"), DeviceError);
  assertInstanceOf(error, Error);
  assertEquals(error.operation, "ones");
  assertEquals(error.status, Status.invalidArgument);
  assert(
    error.message.startsWith("Cannot complete ones (invalid argument): ") &&
      error.message.includes("fill"),
    error.message,
  );
});

Deno.test("`check()` does not repeat the message of an earlier failure", async () => {
  using context = await open();
  const { symbols, handle } = context;
  const status = symbols.remoe_fill(handle, DTypeCode.f32, 0n, 1, 4n);
  assertThrows(() => context.check(status, "fill"), DeviceError);
  assertThrows(
    () => context.check(Status.unsupported, "something else"),
    DeviceError,
    "this build of the kernel library does not have the operation",
  );
});

Deno.test("`allocate()` and `free()` balance in the statistics", async () => {
  using context = await open();
  const before = context.statistics();
  assertEquals([before.inUse, before.blocks], [0, 0]);
  const addresses = [100, 5000, 3 << 20].map((bytes) => context.allocate(bytes));
  const during = context.statistics();
  assertEquals(during.inUse, 100 + 5000 + (3 << 20));
  assertEquals(during.blocks, 3);
  assert(during.held >= during.inUse);
  assert(addresses.every((address) => address % 64n === 0n), "blocks are 64-byte aligned");
  assertEquals(addresses[2]! % BigInt(2 << 20), 0n, "large blocks are 2 MiB-aligned");
  context.free(addresses);
  const after = context.statistics();
  assertEquals([after.inUse, after.blocks, after.peak], [0, 0, during.inUse]);
  context.check(context.symbols.remoe_memory_reset_peak(context.handle), "reset peak");
  assertEquals(context.statistics().peak, 0);
  context.check(context.symbols.remoe_memory_trim(context.handle), "trim");
  assertEquals(context.statistics().held, 0);
});

Deno.test("`free()` takes the first addresses of a list, plain or packed", async () => {
  using context = await open();
  const packed = BigUint64Array.from({ length: 200 }, () => context.allocate(64));
  context.free(packed, 50);
  assertEquals(context.statistics().blocks, 150);
  context.free([...packed.subarray(50)], 100);
  assertEquals(context.statistics().blocks, 50);
  context.free(packed.subarray(150));
  assertEquals(context.statistics().blocks, 0);
  context.free([]);
  assertThrows(() => context.free(packed, 201), RangeError, "holds 200 addresses");
});

Deno.test("`free()` refuses an address that is not a live block, and then frees nothing", async () => {
  using context = await open();
  const live = context.allocate(64);
  const gone = context.allocate(64);
  context.free([gone]);
  for (const address of [gone, live + 8n, 0n, 12345n]) {
    const error = assertThrows(() => context.free([live, address]), DeviceError);
    assertEquals(error.status, Status.invalidArgument);
    assertEquals(context.statistics().blocks, 1, "the live block was freed");
  }
  assertThrows(() => context.free([live, live]), DeviceError);
  assertEquals(context.statistics().blocks, 1);
  context.free([live]);
  assertThrows(() => context.free([live]), DeviceError);
});

Deno.test("`allocate()` reports exhausted memory", async () => {
  using context = await open();
  const error = assertThrows(() => context.allocate(2 ** 50), DeviceError, "out of memory");
  assertEquals(error.status, Status.outOfMemory);
  context.free([context.allocate(64)]);
});

Deno.test("`writeBytes()` and `readBytes()` transfer bytes and honour a view's offset", async () => {
  using context = await open();
  const source = Uint8Array.from({ length: 32 }, (_, i) => i);
  const address = context.allocate(16);
  context.writeBytes(address, source.subarray(8, 24));
  const target = new Uint8Array(18).fill(255);
  context.readBytes(address, target.subarray(1, 17));
  assertEquals([...target], [255, ...source.subarray(8, 24), 255]);
  context.writeBytes(address, new Uint8Array(0));
  context.readBytes(address, new Uint8Array(0));
  context.free([address]);
});

Deno.test("`openLibrary()` and one context close in order", async () => {
  using found = await open();
  const library = openLibrary(found.library.path);
  const context = KernelContext.create(library, { threads: 1 });
  context.free([context.allocate(1)]);
  context.close();
  library.close();
});
