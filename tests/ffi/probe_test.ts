import { assert, assertEquals } from "@std/assert";
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
