import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { profileReport } from "../../cli/train/profile_report.ts";
import { ByteTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import { parseConfig, StepProfile } from "../../lib/train/mod.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { openDevice } from "../tensor/open_device.ts";

async function profileOf(steps: number): Promise<{ profile: StepProfile; losses: number[] }> {
  const config = parseConfig({ preset: "pico", data: { batch: 2, micro_batch: 1, sequence: 16 } });
  const tokenizer = new ByteTokenizer();
  const texts = Array.from({ length: 20 }, (_, i) => `Document ${i}. `.repeat(10));
  const corpus = await prepareCorpus(textsInMemory(texts), tokenizer, { cacheFolder: false });
  using device = await openDevice({ seed: 0, threads: 1 });
  using profile = new StepProfile(device, { skip: 1, traced: 2 });
  using trainer = new Trainer(config, { device, corpus, tokenizer, profile });
  const losses = Array.from({ length: steps }, () => trainer.step().loss);
  return { profile, losses };
}

Deno.test("a profile accounts for all of a step's time, kernel by kernel", async () => {
  const { profile, losses } = await profileOf(4);
  const summary = profile.summary()!;
  assertEquals(summary.steps, 3);
  assertAlmostEquals(summary.entries.reduce((sum, { share }) => sum + share, 0), 1, 1e-2);
  assertAlmostEquals(summary.entries.reduce((sum, { ms }) => sum + ms, 0), summary.ms, 0.5);
  const calls = (phase: string, kernel: string) =>
    summary.entries.find((entry) => entry.phase === phase && entry.kernel === kernel)?.calls;
  // Two layers, two micro-batches.
  assertEquals(calls("forward", "experts_forward"), 4);
  assertEquals(calls("backward", "experts_gradient"), 4);
  assertEquals(calls("optimizer", "adamw"), 1);
  assertEquals(calls("forward", "experts_gradient"), undefined);
  // Timing changes nothing.
  assertEquals((await profileOf(4)).losses, losses);
});

Deno.test("a trace holds the steps' calls inside their phases", async () => {
  const { profile } = await profileOf(5);
  const { traceEvents } = profile.trace();
  const named = (name: string) => traceEvents.filter((event) => event.name === name);
  assertEquals(named("adamw").length, 2);
  assertEquals(named("experts_forward").length, 8);
  const phases = named("forward");
  assertEquals(phases.length, 4);
  for (const call of named("experts_forward")) {
    assert(phases.some(({ ts, dur }) => call.ts >= ts && call.ts + call.dur <= ts + dur));
  }
});

Deno.test("a profile's table names phases and kernels; a short run has no table", async () => {
  const report = profileReport((await profileOf(3)).profile.summary());
  for (const word of ["Profile of 2 steps", "experts_gradient", "(TypeScript and calls)"]) {
    assert(report.includes(word), report);
  }
  assertEquals((await profileOf(1)).profile.summary(), null);
  assert(profileReport(null).includes("too short"));
});
