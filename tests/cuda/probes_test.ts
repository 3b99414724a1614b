import { assert, assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { DTypeCode, Status } from "../../lib/ffi/mod.ts";
import { missingCompiler, openEmulator, skipped } from "./emulator.ts";

const ignore = missingCompiler !== undefined;

Deno.test(`emulated probes measure what the device has${skipped}`, { ignore }, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const f = k.symbols;
  const rate = new Float64Array(1);
  k.check(f.remoe_probe_fma(k.handle, DTypeCode.f32, 1, 0.01, rate), "fma");
  assert(rate[0]! > 0.001 && rate[0]! < 10_000, `${rate[0]} GFLOPS`);
  k.check(f.remoe_probe_copy(k.handle, 2n ** 20n, 0.01, rate), "copy");
  assert(rate[0]! > 0.001 && rate[0]! < 10_000, `${rate[0]} GB/s`);
  const inBf16 = f.remoe_probe_fma(k.handle, DTypeCode.bf16, 1, 0.01, rate);
  assertEquals(inBf16, Status.unsupported);
  assertThrows(() => k.check(inBf16, "fma"), DeviceError, "no unit for bf16 products");
  const tooWide = f.remoe_probe_fma(k.handle, DTypeCode.f32, 100_000, 0.01, rate);
  assertThrows(() => k.check(tooWide, "fma"), DeviceError, "the device has 1 to");
  const endless = f.remoe_probe_copy(k.handle, 64n, 61, rate);
  assertThrows(() => k.check(endless, "copy"), DeviceError, "at most 60");
  assertEquals(k.statistics().blocks, 0);
});
