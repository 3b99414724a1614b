import { assertEquals } from "@std/assert";
import { attentionCase, attentionGradientCase } from "../../kernels/cases/attention.ts";
import { inputsOf, type KernelCase } from "../../kernels/cases/case.ts";
import { PlacedCase } from "../../kernels/cases/placed_case.ts";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import { missingCompiler, openEmulator, Order, skipped } from "./emulator.ts";

/** More than one tile of queries and of keys, the last ones ragged, and groups of two heads. */
const SHAPE = { batch: 2, sequence: 150, heads: 4, groups: 2, headDim: 64, dtype: "bf16" } as const;

function resultsOf(k: KernelContext, kernelCase: KernelCase): unknown {
  using placed = new PlacedCase(k, kernelCase, inputsOf(kernelCase));
  placed.call();
  return placed.read();
}

for (const kernelCase of [attentionCase(SHAPE), attentionGradientCase(SHAPE)]) {
  const { operation } = kernelCase;
  Deno.test(
    `\`${operation}\` on tensor cores has no races and the same bits in any order${skipped}`,
    {
      ignore: missingCompiler !== undefined,
    },
    async () => {
      const bits: unknown[] = [];
      for (const order of Object.values(Order)) {
        using emulator = await openEmulator({ race: true, capability: 90 });
        emulator.configure({ order, seed: 5 });
        bits.push(resultsOf(emulator.context, kernelCase));
        assertEquals(await emulator.locatedReports(), []);
      }
      for (const other of bits) assertEquals(other, bits[0]);
    },
  );
}

Deno.test(`attention takes tensor cores where the device has them${skipped}`, {
  ignore: missingCompiler !== undefined,
}, async () => {
  const results: unknown[] = [];
  for (const capability of [80, 90] as const) {
    using emulator = await openEmulator({ capability });
    results.push(resultsOf(emulator.context, attentionCase(SHAPE)));
  }
  // They round p to bf16, so the two differ somewhere.
  assertEquals(JSON.stringify(results[0]) === JSON.stringify(results[1]), false);
});
