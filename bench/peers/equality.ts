/**
 * Checks remoe's losses, gradients and training against PyTorch's, which share nothing but the
 * equations. See README.md beside this file.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { openDevice } from "../../cli/shared/open_device.ts";
import type { Device } from "../../lib/autograd/device.ts";
import { bundledText } from "../../lib/data/text/bundled_text.ts";
import { prepareCorpus } from "../../lib/data/corpus/corpus.ts";
import { openTokenizer } from "../../lib/data/tokenizer/open_tokenizer.ts";
import type { ConfigLayer } from "../../lib/config/config.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { parseConfig } from "../../lib/config/parse_config.ts";
import { capture, type CapturedRun } from "./_capture.ts";
import { type Compared, equalityReport, type Limits } from "./_equality_report.ts";
import { ensurePython, runProgram, WORK } from "./_python.ts";

const HELP = `deno task bench:equality [--case NAME]... [--steps N] [--every N] [--threads N]

Compares losses, gradients and training of remoe and PyTorch. Exits with code 1 if they differ by
more than the limits allow.`;

/** The configurations to compare; `relu` is remoe's default. */
export const CASES: Readonly<Record<string, ConfigLayer>> = {
  dense: { preset: "pico", moe: { router: "dense", experts: 1 } },
  topk: { preset: "pico", moe: { router: "topk" } },
  "topk-2-renormalized": {
    preset: "pico",
    moe: { router: "topk", active: 2, renormalize: true },
  },
  "topk-warmup": {
    preset: "pico",
    moe: { router: "topk", warmup_active: 6, warmup_steps: 25, gate_scale: 2 },
  },
  relu: { preset: "pico" },
  "relu-plain": { preset: "pico", moe: { balance: "plain" } },
  "relu-granular-accumulated": {
    preset: "pico",
    moe: { granularity: 2 },
    data: { micro_batch: 8 },
  },
  "relu-nano": { preset: "nano" },
  lory: { preset: "pico", moe: { router: "lory" } },
  sigmoid: { preset: "pico", moe: { router: "sigmoid" } },
  "sigmoid-2-accumulated": {
    preset: "pico",
    moe: { router: "sigmoid", active: 2, gate_scale: 2.5 },
    data: { micro_batch: 8 },
  },
  hash: { preset: "pico", moe: { router: "hash" } },
  "expert-choice": { preset: "pico", moe: { router: "expert-choice" } },
  "expert-choice-granular-sequences": {
    preset: "pico",
    moe: { router: "expert-choice", group: "sequence", capacity: 1.5, granularity: 2 },
  },
  sparsemixer: { preset: "pico", moe: { router: "sparsemixer" } },
  "sparsemixer-2": { preset: "pico", moe: { router: "sparsemixer", active: 2, jitter: 0.3 } },
};

/**
 * Steps for which separate runs must agree where that is less than {@linkcode LIMITS} says. Experts
 * that rank thousands of tokens soon meet two that rounding can exchange, and from then on the runs
 * are different ones. With the same routing they must agree at every step.
 */
const FREE_STEPS: Readonly<Record<string, number>> = {
  "expert-choice": 10,
  "expert-choice-granular-sequences": 10,
};

const LIMITS: Limits = { loss: 1e-5, gradient: 1e-3, freeLoss: 1e-4, freeSteps: 50 };

async function main(): Promise<number> {
  const flags = parseArgs(Deno.args, {
    boolean: ["help"],
    string: ["case", "steps", "every", "threads"],
    collect: ["case"],
    default: { steps: "100", every: "10", threads: "2" },
  });
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  const names = flags.case.length > 0 ? flags.case : Object.keys(CASES);
  const unknown = names.find((name) => !(name in CASES));
  if (unknown !== undefined) {
    console.error(`There is no case ${unknown}; the cases are ${Object.keys(CASES).join(", ")}`);
    return 1;
  }
  const [steps = 0, every = 0, threads = 0] = [flags.steps, flags.every, flags.threads].map(Number);
  await ensurePython(console.error);
  const tokenizer = await openTokenizer("byte");
  const corpus = await prepareCorpus(await bundledText(), tokenizer);
  const compared: Compared[] = [];
  for (const name of names) {
    console.error(`${name}: ${steps} steps of remoe, then PyTorch`);
    const given = parseConfig(CASES[name]);
    // Agreement to rounding is fp32's; what bf16 may differ by, the kernels' cases check.
    const config: TrainConfig = { ...given, model: { ...given.model, dtype: "f32" } };
    const folder = `${WORK}/equality/${name}`;
    using device: Device = await openDevice("cpu", { threads, seed: config.seed });
    const run: CapturedRun = capture(config, { device, corpus, tokenizer, folder, steps, every });
    const text = await runProgram("equality.py", [folder, "--threads", flags.threads]);
    compared.push({ name, freeSteps: FREE_STEPS[name], run, peer: JSON.parse(text) });
  }
  const { text, failures } = equalityReport(compared, LIMITS);
  console.log(text);
  return failures.length === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
