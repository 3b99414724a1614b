import { assert, assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { measurePeak, openContext, probeFma } from "../../lib/ffi/mod.ts";

Deno.test("`measurePeak()` gives plausible figures and frees what it used", async () => {
  const { context } = await openContext({ threads: 1 });
  using _ = context;
  const peak = measurePeak(context, { seconds: 0.02, bytes: 8 << 20 });
  // Every core does at least one operation per nanosecond, and none does 10,000.
  assert(peak.gflops > 0.5 && peak.gflops < 10_000, `${peak.gflops} GFLOPS`);
  assert(peak.gigabytesPerSecond > 0.1 && peak.gigabytesPerSecond < 10_000);
  assert(probeFma(context, { threads: 1, seconds: 0.01 }) > 0.5);
  assertEquals(context.statistics().blocks, 0);
});

Deno.test("`probeFma()` times the unit for bf16 products, or says that there is none", async () => {
  const { context } = await openContext({ threads: 1 });
  using _ = context;
  const probe = (): number => probeFma(context, { dtype: "bf16", threads: 1, seconds: 0.01 });
  if (context.info().bf16 === "fp32") assertThrows(probe, DeviceError);
  else assert(probe() > 0.5);
});
