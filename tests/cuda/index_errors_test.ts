import { assert, assertEquals, assertThrows } from "@std/assert";
import { inputsOf, type KernelCase } from "../../kernels/cases/case.ts";
import { adamwCase } from "../../kernels/cases/adamw.ts";
import { attentionExtendCase } from "../../kernels/cases/attention_extend.ts";
import { crossEntropyCase, crossEntropyGradientCase } from "../../kernels/cases/cross_entropy.ts";
import { embeddingCase, embeddingGradientCase } from "../../kernels/cases/embedding.ts";
import { PlacedCase } from "../../kernels/cases/placed_case.ts";
import { DeviceError } from "../../lib/errors.ts";
import { type KernelContext, Status } from "../../lib/ffi/mod.ts";
import { missingCompiler, openEmulator, skipped } from "./emulator.ts";

const ignore = missingCompiler !== undefined;
const VOCABULARY = 11;
const LOOKUP = { count: 600, hidden: 4, vocabulary: VOCABULARY };
const HEAD = { tokens: 9, hidden: 4, vocabulary: VOCABULARY };

/** Runs a case on indices of which some are wrong, without waiting. */
function enqueue(
  k: KernelContext,
  kernelCase: KernelCase,
  wrong: Readonly<Record<number, number>>,
): void {
  const inputs = inputsOf(kernelCase);
  const indices = (inputs["tokens"] ?? inputs["targets"] ?? inputs["lengths"]) as Int32Array;
  for (const [position, index] of Object.entries(wrong)) indices[Number(position)] = index;
  using placed = new PlacedCase(k, kernelCase, inputs);
  placed.call();
}

/** The message of the next call that waits. */
function nextMessage(k: KernelContext, status: number = Status.outOfRange): string {
  const wait = () => k.check(k.symbols.remoe_synchronize(k.handle), "synchronize");
  const error = assertThrows(wait, DeviceError);
  assertEquals(error.status, status);
  return error.message.replace(/^.*\): /, "");
}

function synchronize(k: KernelContext): void {
  k.check(k.symbols.remoe_synchronize(k.handle), "synchronize");
}

Deno.test(`a call that waits reports the first index out of range${skipped}`, {
  ignore,
}, async (t) => {
  using emulator = await openEmulator();
  const k = emulator.context;
  for (
    const [kernelCase, wrong, message] of [
      [
        embeddingCase(LOOKUP),
        { 500: -1, 300: 12, 599: 2 ** 30 },
        "embedding_forward: token 12 at position 300 is outside the vocabulary of 11",
      ],
      [
        embeddingGradientCase(LOOKUP),
        { 0: -(2 ** 31) },
        "embedding_gradient: token -2147483648 at position 0 is outside the vocabulary of 11",
      ],
      [
        crossEntropyCase(HEAD),
        { 6: VOCABULARY, 8: 2 ** 31 - 1 },
        "cross_entropy_forward: target 11 at position 6 is outside the vocabulary of 11",
      ],
      [
        crossEntropyGradientCase(HEAD),
        { 8: 2 ** 31 - 1 },
        "cross_entropy_gradient: target 2147483647 at position 8 is outside the vocabulary of 11",
      ],
      [
        attentionExtendCase({ lengths: [3, 0, 7], capacity: 8, heads: 2, groups: 1, headDim: 4 }),
        { 1: 8, 2: -1 },
        "attention_extend: sequence 1 adds to 8 tokens, but the cache has room for 8",
      ],
    ] as const
  ) {
    await t.step(kernelCase.operation, () => {
      enqueue(k, kernelCase, wrong);
      assertEquals(nextMessage(k), message);
      synchronize(k); // it is reported once
      enqueue(k, kernelCase, {});
      synchronize(k);
    });
  }
  assertEquals(emulator.reports(), []);
});

Deno.test(`of two operations, the one first called is reported${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  enqueue(k, crossEntropyCase(HEAD), {});
  enqueue(k, embeddingCase(LOOKUP), { 1: VOCABULARY });
  enqueue(k, crossEntropyCase(HEAD), { 2: VOCABULARY });
  assert(nextMessage(k).startsWith("cross_entropy_forward: target 11 at position 2"));
  synchronize(k);
});

Deno.test(`operations with more bounds than there are words still report${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  for (let vocabulary = 1; vocabulary <= 130; vocabulary++) {
    enqueue(k, embeddingCase({ count: 1, hidden: 1, vocabulary }), {});
  }
  const last = embeddingCase({ count: 3, hidden: 1, vocabulary: 131 });
  enqueue(k, last, { 2: 131 });
  assert(nextMessage(k).endsWith("token 131 at position 2 is outside the vocabulary of 131"));
});

Deno.test(`the optimizer reports a table that lacks an address${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const step = adamwCase({ label: "", parameters: [{ elements: 3 }], steps: 1, clip: 0 });
  // Its table stays all zeros.
  using placed = new PlacedCase(k, { ...step, prepare() {} }, inputsOf(step));
  placed.call();
  const message = nextMessage(k, Status.invalidArgument);
  assert(message.includes("tensor 0 of the table lacks an address"), message);
});
