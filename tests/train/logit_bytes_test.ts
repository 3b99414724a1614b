/** How many logits a run keeps, and that memory bounds them. */
import { assert, assertEquals } from "@std/assert";
import { cast, crossEntropy } from "../../mod.ts";
import { memoryOf } from "../../lib/autograd/device.ts";
import { Tape } from "../../lib/autograd/tape.ts";
import { keptLogits } from "../../lib/autograd/cross_entropy.ts";
import { estimateMemory, parseConfig } from "../../lib/train/mod.ts";
import { estimateAt } from "../../lib/train/memory_estimate.ts";
import { layerRows } from "../../lib/train/layer_rows.ts";
import { logitBytes } from "../../lib/train/logit_bytes.ts";
import { openDevice } from "../tensor/open_device.ts";

Deno.test("kept logits take no more than allowed, and half as much in bf16", () => {
  assertEquals(keptLogits(8, 100, "f32", 3200), 800);
  assertEquals(keptLogits(8, 100, "f32", 3199), 0);
  assertEquals(keptLogits(8, 100, "bf16", 1600), 800);
  // Rows of whole pages are apart by a cache line.
  assertEquals(keptLogits(1, 1024, "f32", Infinity), 1024 + 16);
  assertEquals(keptLogits(1, 2048, "bf16", Infinity), 2048 + 32);
});

Deno.test("a device keeps logits of up to a sixteenth of its memory", async () => {
  using device = await openDevice();
  assertEquals(memoryOf(device).logitBytes, device.info().memoryBytes / 16);
});

Deno.test("a recorded cross entropy keeps logits within the bound, in its type", async () => {
  using device = await openDevice();
  const [tokens, hidden, vocabulary] = [16, 8, 1000];
  for (const dtype of ["f32", "bf16"] as const) {
    using _scope = device.scope();
    const x = cast(device.zeros([tokens, hidden]), dtype);
    const head = cast(device.zeros([hidden, vocabulary]), dtype);
    const targets = device.tokens(Array(tokens).fill(1));
    const taken = (most: number): number =>
      memoryOf(device).keepingLogits(most, () => {
        using _tape = Tape.open(memoryOf(device));
        const before = device.statistics().inUse;
        crossEntropy(x, head, targets);
        return device.statistics().inUse - before;
      });
    const bytes = (dtype === "f32" ? 4 : 2) * tokens * vocabulary;
    assertEquals(taken(bytes) - taken(bytes - 1), bytes);
  }
});

Deno.test("a limit of memory leaves the logits alone, unless the run would be refused", async () => {
  using device = await openDevice();
  const config = parseConfig({ preset: "pico", model: { vocabulary: 4096 } });
  const most = device.info().memoryBytes / 16;
  const { dense } = layerRows(config);
  const least = estimateAt(device, config, dense, 0, most).total;
  assertEquals(logitBytes(device, config, least), most);
  assertEquals(logitBytes(device, config, least - 1), 0);
  const { total } = estimateMemory(config, { device, limit: least - 1 }).dense;
  assert(total <= least - 1);
});
