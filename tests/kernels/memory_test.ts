import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { type KernelContext, openLibrary, Status } from "../../lib/ffi/mod.ts";
import { CPU_LIBRARY, openKernels } from "./open_library.ts";

const MEBIBYTE = 2 ** 20;

/** Reads the message of a call that must have failed with a status. */
function messageOf(kernels: KernelContext, status: number, expected: number): string {
  assertEquals(status, expected);
  return assertThrows(() => kernels.check(status, "the call"), DeviceError).message;
}

Deno.test("`remoe_memory_allocate()` aligns blocks to 64 bytes, and large ones to 2 MiB", () => {
  using kernels = openKernels();
  for (const bytes of [1, 63, 64, 65, 4097, MEBIBYTE, 2 * MEBIBYTE - 1]) {
    assertEquals(kernels.allocate(bytes) % 64n, 0n, `${bytes} bytes`);
  }
  for (const bytes of [2 * MEBIBYTE, 2 * MEBIBYTE + 1, 5 * MEBIBYTE]) {
    assertEquals(kernels.allocate(bytes) % BigInt(2 * MEBIBYTE), 0n, `${bytes} bytes`);
  }
});

Deno.test("live blocks never overlap, whatever was freed before", () => {
  using kernels = openKernels();
  const live = new Map<bigint, number>();
  // A fixed pattern of sizes; every third allocation frees the oldest block.
  for (let i = 0; i < 300; i++) {
    const bytes = 1 + ((i * 7919) % 5000) * (i % 50 === 0 ? 1000 : 1);
    const address = kernels.allocate(bytes);
    for (const [other, length] of live) {
      assert(address >= other + BigInt(length) || other >= address + BigInt(bytes));
    }
    live.set(address, bytes);
    if (i % 3 !== 0) continue;
    const [oldest] = live.keys();
    kernels.free([oldest!]);
    live.delete(oldest!);
  }
  const inUse = live.values().reduce((sum, bytes) => sum + bytes, 0);
  assertEquals(kernels.statistics().inUse, inUse);
  assertEquals(kernels.statistics().blocks, live.size);
});

Deno.test("`remoe_memory_statistics()` counts the requested bytes and their peak", () => {
  using kernels = openKernels();
  const [a, b] = [kernels.allocate(1000), kernels.allocate(3 * MEBIBYTE)];
  const inUse = 1000 + 3 * MEBIBYTE;
  const full = kernels.statistics();
  assertEquals([full.inUse, full.peak, full.blocks], [inUse, inUse, 2]);
  assert(full.held >= inUse);
  kernels.free([b]);
  const freed = kernels.statistics();
  assertEquals([freed.inUse, freed.peak, freed.blocks], [1000, inUse, 1]);
  assertEquals(freed.held, full.held, "freed blocks are kept");
  kernels.check(kernels.symbols.remoe_memory_reset_peak(kernels.handle), "reset");
  assertEquals(kernels.statistics().peak, 1000);
  kernels.free([a]);
});

Deno.test("freed blocks are reused without asking the system", () => {
  using kernels = openKernels();
  kernels.free([kernels.allocate(3 * MEBIBYTE)]);
  const { held } = kernels.statistics();
  for (let i = 0; i < 10; i++) kernels.free([kernels.allocate(3 * MEBIBYTE)]);
  assertEquals(kernels.statistics().held, held);
});

Deno.test("`remoe_memory_trim()` returns unused memory, and nothing live", () => {
  using kernels = openKernels();
  const live = kernels.allocate(3 * MEBIBYTE);
  kernels.writeBytes(live, new Uint8Array(16).fill(7));
  kernels.free([kernels.allocate(64 * MEBIBYTE)]);
  const { held } = kernels.statistics();
  kernels.check(kernels.symbols.remoe_memory_trim(kernels.handle), "trim");
  assert(kernels.statistics().held <= held - 64 * MEBIBYTE);
  const bytes = new Uint8Array(16);
  kernels.readBytes(live, bytes);
  assertEquals(bytes, new Uint8Array(16).fill(7));
});

Deno.test("`remoe_memory_free()` frees all blocks or none", () => {
  using kernels = openKernels();
  const [a, b] = [kernels.allocate(100), kernels.allocate(200)];
  const { remoe_memory_free: free } = kernels.symbols;
  for (const wrong of [a + 64n, 12345n * 64n, 0n]) {
    const status = free(kernels.handle, BigUint64Array.of(a, wrong, b), 3);
    assertMatch(messageOf(kernels, status, Status.invalidArgument), /memory_free: /);
  }
  const twice = free(kernels.handle, BigUint64Array.of(a, a), 2);
  assertMatch(messageOf(kernels, twice, Status.invalidArgument), /memory_free: /);
  assertEquals(kernels.statistics().blocks, 2);
  kernels.free([a, b]);
  assertThrows(() => kernels.free([a]), DeviceError);
});

Deno.test("`remoe_memory_allocate()` reports exhausted memory, and later calls still work", () => {
  using kernels = openKernels();
  const address = BigUint64Array.of(7n);
  for (const bytes of [2n ** 46n, 2n ** 63n, 2n ** 64n - 1n]) {
    const status = kernels.symbols.remoe_memory_allocate(kernels.handle, bytes, address);
    const message = messageOf(kernels, status, Status.outOfMemory);
    assertMatch(message, new RegExp(`memory_allocate: .*${bytes}`));
  }
  kernels.free([kernels.allocate(1000)]);
});

Deno.test("`remoe_memory_allocate()` refuses 0 bytes", () => {
  using kernels = openKernels();
  const { remoe_memory_allocate: allocate } = kernels.symbols;
  const status = allocate(kernels.handle, 0n, new BigUint64Array(1));
  assertMatch(messageOf(kernels, status, Status.invalidArgument), /memory_allocate: .*byte/);
});

Deno.test("copies refuse address 0", () => {
  using kernels = openKernels();
  const bytes = new Uint8Array(8);
  const { remoe_copy_from_host: write, remoe_copy_to_host: read } = kernels.symbols;
  const written = write(kernels.handle, 0n, bytes, 8n);
  assertMatch(messageOf(kernels, written, Status.invalidArgument), /copy_from_host: .*target/);
  const isRead = read(kernels.handle, bytes, 0n, 8n);
  assertMatch(messageOf(kernels, isRead, Status.invalidArgument), /copy_to_host: .*source/);
});

Deno.test("copies refuse impossibly many bytes", () => {
  using kernels = openKernels();
  const [a, b] = [kernels.allocate(64), kernels.allocate(64)];
  for (const bytes of [2n ** 46n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    const status = kernels.symbols.remoe_copy(kernels.handle, a, b, bytes);
    assertMatch(messageOf(kernels, status, Status.invalidArgument), new RegExp(`copy: .*${bytes}`));
  }
});

Deno.test("a message is read once", () => {
  using kernels = openKernels();
  const status = kernels.symbols.remoe_copy(kernels.handle, 0n, 0n, 8n);
  assertMatch(messageOf(kernels, status, Status.invalidArgument), /copy: /);
  const { remoe_context_message: read } = kernels.symbols;
  assertEquals(read(kernels.handle, new Uint8Array(100), 100n), 0);
});

Deno.test("calls on a closed or unknown context are refused", () => {
  const library = openLibrary(CPU_LIBRARY);
  const { symbols } = library;
  const out = new BigUint64Array(4);
  assertEquals(symbols.remoe_context_create(0, 1, out, new Uint8Array(100), 100n), Status.ok);
  const closed = out[0]!;
  assertEquals(symbols.remoe_context_destroy(closed), Status.ok);
  for (const context of [closed, 0n, 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    assertEquals(symbols.remoe_memory_statistics(context, out), Status.invalidContext);
    assertEquals(symbols.remoe_memory_allocate(context, 8n, out), Status.invalidContext);
    assertEquals(symbols.remoe_synchronize(context), Status.invalidContext);
    assertEquals(symbols.remoe_context_destroy(context), Status.invalidContext);
    assertEquals(symbols.remoe_context_message(context, new Uint8Array(8), 8n), 0);
  }
  library.close();
});

Deno.test("`remoe_context_create()` says why it fails", () => {
  const library = openLibrary(CPU_LIBRARY);
  const create = (ordinal: number, threads: number): [number, string] => {
    const message = new Uint8Array(200);
    const { remoe_context_create: create } = library.symbols;
    const status = create(ordinal, threads, new BigUint64Array(1), message, 200n);
    return [status, new TextDecoder().decode(message.subarray(0, message.indexOf(0)))];
  };
  for (const ordinal of [-1, 99]) {
    const [status, message] = create(ordinal, 1);
    assertEquals(status, Status.noDevice);
    assertMatch(message, new RegExp(`${ordinal}`));
  }
  const [status, message] = create(0, -1);
  assertEquals(status, Status.invalidArgument);
  assertMatch(message, /threads/);
  library.close();
});

Deno.test("contexts of one library have separate memory", () => {
  using first = openKernels();
  using second = openKernels();
  const address = first.allocate(100);
  assertEquals(second.statistics().blocks, 0);
  assertThrows(() => second.free([address]), DeviceError);
  first.free([address]);
});
