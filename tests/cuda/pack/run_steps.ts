/**
 * Times whole training steps: `deno run -A run_steps.ts CONFIGS NAME STEPS TEXT [profile]`. Steps of
 * the configuration's trainer, one line of JSON each; ends early once the gates are at their target
 * and enough steps were taken there. With a profile, the kernels' times come last.
 *
 * @module
 */

import { memoryOf } from "../../../lib/autograd/device.ts";
import { openTokenizer } from "../../../lib/data/tokenizer/open_tokenizer.ts";
import { runCorpus } from "../../../lib/model/run_corpus.ts";
import { Trainer } from "../../../lib/train/trainer.ts";
import { parseConfig, StepProfile } from "../../../lib/train/mod.ts";
import { Device } from "../../../mod.ts";

/** How far from the target a step's sparsity may be. */
const NEAR = 0.03;

async function main([file, name, steps, text, profiled]: readonly string[]): Promise<void> {
  const { config: given, enough } = JSON.parse(await Deno.readTextFile(file!))[name!];
  const config = parseConfig({ ...given, data: { ...given.data, paths: [text] } });
  using device = await Device.open({ seed: config.seed });
  const tokenizer = await openTokenizer(config.data.tokenizer);
  const corpus = await runCorpus(config.data, tokenizer, () => {});
  using profile = profiled === undefined ? null : new StepProfile(device);
  using trainer = new Trainer(config, { device, corpus, tokenizer, profile });
  const target = 1 - config.moe.active / config.moe.experts;
  let near = 0;
  for (let i = 0; i < Number(steps) && near < enough; i++) {
    const { step, ms, loss, sparsity, lambda, grad_norm, memory_bytes } = trainer.step();
    console.log(JSON.stringify({ step, ms, loss, sparsity, lambda, grad_norm, memory_bytes }));
    if (Math.abs(sparsity - target) < NEAR && i >= 3) near++;
  }
  const { held, peak } = memoryOf(device).kernels.statistics();
  console.log(JSON.stringify({ held, peak }));
  if (profile !== null) console.log(JSON.stringify({ profile: profile.summary() }));
}

if (import.meta.main) await main(Deno.args);
