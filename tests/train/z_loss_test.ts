/** The z-loss among a step's metrics. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { openTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import { type ConfigLayer, parseConfig, type StepMetrics } from "../../lib/train/mod.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { openDevice } from "../tensor/open_device.ts";

const TEXT = Array.from({ length: 40 }, (_, i) => `Document ${i} of ${i * i} words. `.repeat(9));

async function steps(moe: ConfigLayer["moe"], micro_batch = 4): Promise<StepMetrics[]> {
  const data = { batch: 4, micro_batch, sequence: 32 };
  const config = parseConfig({ preset: "pico", data, moe });
  using device = await openDevice({ threads: 1 });
  const tokenizer = await openTokenizer("byte");
  const corpus = await prepareCorpus(textsInMemory(TEXT), tokenizer, { cacheFolder: false });
  using trainer = new Trainer(config, { device, corpus, tokenizer });
  return Array.from({ length: 3 }, () => trainer.step());
}

Deno.test("a step reports the z-loss of TopK where it has a coefficient", async () => {
  const moe = { router: "topk", router_std: 1e-4 } as const;
  const [first, ...later] = await steps({ ...moe, z_coefficient: 1e-6 });
  // Logits near 0: the log-sum-exp of 8 experts is ln 8, in each of the two layers.
  assertAlmostEquals(first!.z_loss!, 2 * Math.log(8) ** 2, 0.01);
  assert(later.every(({ z_loss }) => z_loss! > 0 && z_loss !== first!.z_loss));
  const [split] = await steps({ ...moe, z_coefficient: 1e-6 }, 1);
  assertAlmostEquals(split!.z_loss!, first!.z_loss!, 1e-5);
  const without = await steps({ ...moe, z_coefficient: 0 });
  assertEquals(without.filter((line) => "z_loss" in line), []);
});

Deno.test("other routers report no z-loss", async () => {
  for (const router of ["relu", "sparsemixer", "sigmoid"] as const) {
    assertEquals((await steps({ router })).filter((line) => "z_loss" in line), [], router);
  }
});
