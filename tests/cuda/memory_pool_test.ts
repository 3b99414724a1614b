import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { DTypeCode } from "../../lib/ffi/mod.ts";
import { missingCompiler, openEmulator, skipped } from "./emulator.ts";

const ignore = missingCompiler !== undefined;
const MIB = 2 ** 20;

Deno.test(`emulated memory pool counts bytes and reuses blocks${skipped}`, { ignore }, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const [small, large] = [k.allocate(1000), k.allocate(5 * MIB)];
  assertEquals(k.statistics(), {
    inUse: 1000 + 5 * MIB,
    peak: 1000 + 5 * MIB,
    held: 8 * MIB,
    blocks: 2,
  });
  assertEquals(large % BigInt(2 * MIB), 0n);
  k.free([small, large]);
  assertEquals(k.allocate(900), small, "the same rounded size, hence the same block");
  assertEquals(k.allocate(6 * MIB), large);
  assertEquals(k.statistics().peak, 900 + 6 * MIB);
  assertEquals(k.symbols.remoe_memory_reset_peak(k.handle), 0);
  assertEquals(k.symbols.remoe_memory_trim(k.handle), 0);
  assertEquals(k.statistics().held, 8 * MIB, "blocks in use are kept");
  k.free([small, large]);
  assertEquals(k.symbols.remoe_memory_trim(k.handle), 0);
  assertEquals(k.statistics(), { inUse: 0, peak: 900 + 6 * MIB, held: 0, blocks: 0 });
});

Deno.test(`emulated memory pool returns blocks that do not overlap${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const sizes = [1, 512, 513, 4096, 700_000, MIB, MIB + 1, 3 * MIB, 512, 900_000];
  const blocks = sizes.map((bytes) => ({ address: k.allocate(bytes), bytes: BigInt(bytes) }));
  blocks.sort((a, b) => a.address < b.address ? -1 : 1);
  for (const [i, { address, bytes }] of blocks.entries()) {
    const next = blocks[i + 1];
    assert(next === undefined || address + bytes <= next.address);
    assertEquals(address % 64n, 0n);
  }
  k.free(blocks.map(({ address }) => address));
});

Deno.test(
  `emulated memory pool reserves a freed block for its stream until the host waits${skipped}`,
  {
    ignore,
  },
  async () => {
    using emulator = await openEmulator();
    const k = emulator.context;
    const out = new BigUint64Array(1);
    k.check(k.symbols.remoe_stream_create(k.handle, out), "stream");
    const stream = out[0]!;
    const block = k.allocate(4096);
    k.check(k.symbols.remoe_fill(k.handle, DTypeCode.f32, block, 1, 1024n), "fill");
    k.free([block]);
    k.check(k.symbols.remoe_stream_use(k.handle, stream), "use");
    const other = k.allocate(4096);
    assertNotEquals(other, block, "work on the first stream may still write it");
    k.check(k.symbols.remoe_synchronize(k.handle), "synchronize");
    assertEquals(k.allocate(4096), block);
  },
);

Deno.test(`emulated memory pool frees all listed addresses or none${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const block = k.allocate(64);
  assertThrows(() => k.free([block, block]), DeviceError, "is not a live block");
  assertThrows(() => k.free([block, 12_345n]), DeviceError, "nothing was freed");
  assertEquals(k.statistics().blocks, 1);
  k.free([block]);
  assertThrows(() => k.free([block]), DeviceError, "address 0 of 1");
});

Deno.test(
  `emulated memory pool reports when the device is full${skipped}`,
  { ignore },
  async () => {
    using emulator = await openEmulator();
    const k = emulator.context;
    assertThrows(
      () => k.allocate(2 ** 40),
      DeviceError,
      "the device has no 1099511627776 bytes left",
    );
    k.free([k.allocate(64)]);
  },
);
