/** The scratch memory that kernels say they need, held to what the pool counts. */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { KernelCase } from "../../kernels/cases/case.ts";
import { crossEntropyKeptCase } from "../../kernels/cases/cross_entropy.ts";
import { expertsGradientCase } from "../../kernels/cases/experts.ts";
import { PlacedCase } from "../../kernels/cases/placed_case.ts";
import { Random } from "../../kernels/cases/random.ts";
import { DeviceError } from "../../lib/errors.ts";
import { DTypeCode, type KernelContext, ScratchCode, Status } from "../../lib/ffi/mod.ts";
import { openKernels } from "./open_library.ts";

/** What the kernels say. */
function asked(k: KernelContext, operation: number, sizes: readonly number[]): number {
  const bytes = new BigUint64Array(1);
  const status = k.symbols.remoe_scratch_bytes(
    k.handle,
    operation,
    DTypeCode.f32,
    Int32Array.from(sizes),
    bytes,
  );
  k.check(status, "scratch");
  return Number(bytes[0]);
}

/** What a call has in use at most beside what it was given. */
function taken(k: KernelContext, kernelCase: KernelCase): number {
  using placed = new PlacedCase(k, kernelCase, kernelCase.inputs(new Random(kernelCase.name)));
  k.check(k.symbols.remoe_memory_reset_peak(k.handle), "reset");
  const { inUse } = k.statistics();
  placed.call();
  return k.statistics().peak - inUse;
}

Deno.test("the experts' gradient takes the scratch that it names", async (t) => {
  const layers = [
    { tokens: 37, hidden: 12, width: 20, experts: 1 },
    { tokens: 5, hidden: 70, width: 300, experts: 3 },
    // Two tasks of an expert, and then three.
    { tokens: 1000, hidden: 9, width: 7, experts: 2 },
    { tokens: 2000, hidden: 3, width: 5, experts: 1 },
  ];
  for (const threads of [1, 2]) {
    using kernels = openKernels({ threads });
    for (const layer of layers) {
      const { tokens, hidden, width, experts } = layer;
      const rows = tokens * experts;
      for (const kept of [0, Math.floor(rows / 2), rows]) {
        await t.step(`${JSON.stringify(layer)}, ${kept} kept, ${threads} threads`, () => {
          const gradient = expertsGradientCase({
            ...layer,
            density: 1,
            dense: experts === 1,
            kept,
          });
          const sizes = [rows, kept, tokens, hidden, width, experts];
          assertEquals(
            taken(kernels, gradient),
            asked(kernels, ScratchCode.expertsGradient, sizes),
          );
        });
      }
    }
  }
});

Deno.test("the output head's gradient takes the scratch that it names", async (t) => {
  using kernels = openKernels({ threads: 2 });
  for (const [tokens, hidden, vocabulary] of [[1, 1, 1], [70, 24, 257], [9, 5, 5000]] as const) {
    for (const kept of [false, true]) {
      await t.step(`[${tokens},${hidden}]x[${hidden},${vocabulary}], logits kept: ${kept}`, () => {
        const sizes = { tokens, hidden, vocabulary };
        const head = crossEntropyKeptCase(kept ? { ...sizes, logitStride: vocabulary } : sizes);
        assertEquals(
          taken(kernels, head),
          asked(kernels, ScratchCode.crossEntropyGradient, [tokens, hidden, vocabulary, +kept]),
        );
      });
    }
  }
});

Deno.test("scratch memory of wrong sizes is refused, that of vast ones a number", () => {
  using k = openKernels({ threads: 1 });
  const bytes = new BigUint64Array(1);
  const { expertsGradient, crossEntropyGradient } = ScratchCode;
  const refused: [number, readonly number[] | null, BigUint64Array<ArrayBuffer> | null, RegExp][] =
    [
      [-1, [1, 1, 1, 1], bytes, /operation/],
      [crossEntropyGradient + 1, [1, 1, 1, 1], bytes, /operation/],
      [expertsGradient, null, bytes, /sizes/],
      [expertsGradient, [1, 0, 1, 1, 1, 1], null, /bytes/],
      [expertsGradient, [0, 0, 1, 1, 1, 1], bytes, /rows/],
      [expertsGradient, [1, -1, 1, 1, 1, 1], bytes, /kept_rows/],
      [expertsGradient, [1, 0, 1, 1, 1, 0], bytes, /experts/],
      [crossEntropyGradient, [1, 1, 0, 1], bytes, /vocabulary/],
      [crossEntropyGradient, [1, 1, 1, 2], bytes, /logits/],
    ];
  for (const [operation, sizes, target, words] of refused) {
    const list = sizes === null ? null : Int32Array.from(sizes);
    const status = k.symbols.remoe_scratch_bytes(k.handle, operation, DTypeCode.f32, list, target);
    assertEquals(status, Status.invalidArgument);
    assertMatch(assertThrows(() => k.check(status, "scratch"), DeviceError).message, words);
  }
  const most = 2 ** 31 - 1;
  assertEquals(asked(k, expertsGradient, new Array(6).fill(most)), 2 ** 62);
});
