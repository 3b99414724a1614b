/**
 * remoe's side of the speed comparison: like `pytorch/contender.py`, it reads orders line by line
 * and answers with times.
 *
 * Usage: `remoe_contender.ts SCENARIO train|forward|generate f32|bf16`
 *
 * @module
 */

import { savedTensors } from "../../lib/model/saved_tensors.ts";
import process from "node:process";
import { createInterface } from "node:readline";
import { openDevice } from "../../cli/shared/open_device.ts";
import type { Device } from "../../lib/autograd/device.ts";
import { BatchSampler } from "../../lib/data/batches/batch_sampler.ts";
import { generate } from "../../lib/generate/generate.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import { download } from "../../lib/tensor/transfer.ts";
import { buildModel } from "../../lib/model/build_model.ts";
import { SafetensorsFile } from "../../lib/checkpoint/safetensors.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { loadModel } from "../../lib/checkpoint/weight_layout.ts";
import type { Answer, Order } from "./_contender.ts";
import { type Mode, openText, readScenario, type Scenario } from "./_scenario.ts";

/** One turn: a step's loss, or a text. */
type Turn = () => number | string | Promise<string>;

/** A full optimizer step, taken by remoe's own trainer. */
async function training(scenario: Scenario, device: Device, stack: DisposableStack): Promise<Turn> {
  const { config, folder, state } = scenario;
  const trainer = stack.use(new Trainer(config, { device, ...await openText(config) }));
  using weights = SafetensorsFile.open(`${folder}/model.safetensors`);
  loadModel(trainer.savedTensors(), config, weights);
  // After the warmup and in the sparse stage, so that the trainer plans its memory for it.
  const { warmup } = config.schedule;
  const stage = { stage: "sparse", sparsifying_from: 1, sparse_from: 1 } as const;
  trainer.restore(warmup, { lambda: state.lambda, excess: 0 }, stage, trainer.sampler.state);
  return () => trainer.step().loss;
}

/** The loss of a step's micro-batches, without gradients. */
async function forward(scenario: Scenario, device: Device, stack: DisposableStack): Promise<Turn> {
  const { config } = scenario;
  const { corpus } = await openText(config);
  const { model } = openWeights(scenario, device, stack);
  const { sequence, batch, micro_batch } = config.data;
  const sampler = new BatchSampler(corpus.train.tokens, { sequence, seed: config.seed });
  const count = batch / micro_batch;
  return () => {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      using _scope = device.noGradient();
      const { tokens, targets } = sampler.next(micro_batch);
      const { loss } = model.loss(device.tokens(tokens), device.tokens(targets), sequence);
      sum += download(unwrapped(loss))[0]!;
    }
    return sum / count;
  };
}

/** A text, always drawing the likeliest token. */
async function generation(
  scenario: Scenario,
  device: Device,
  stack: DisposableStack,
): Promise<Turn> {
  const { config, state } = scenario;
  const { tokenizer } = await openText(config);
  const { model } = openWeights(scenario, device, stack);
  const options = { device, model, tokenizer, tokens: state.drawn, temperature: 0 };
  return async () => {
    let text = "";
    for await (const piece of generate([state.text], options)) text += piece.text;
    return text;
  };
}

function openWeights(
  { config, folder }: Scenario,
  device: Device,
  stack: DisposableStack,
): ReturnType<typeof buildModel> {
  const built = stack.use(buildModel(device, config));
  using weights = SafetensorsFile.open(`${folder}/model.safetensors`);
  loadModel(savedTensors(built.model), config, weights);
  return built;
}

const MODES = { train: training, forward, generate: generation };

async function main([folder = "", mode = "", dtype = ""]: readonly string[]): Promise<void> {
  const made = readScenario(folder);
  const model = { ...made.config.model, dtype: dtype as Real };
  const scenario = { ...made, config: { ...made.config, model } };
  using stack = new DisposableStack();
  const device = stack.use(await openDevice("cpu", scenario.config));
  const turn = await MODES[mode as Mode](scenario, device, stack);
  for await (const line of createInterface({ input: process.stdin })) {
    const { times } = JSON.parse(line) as Order;
    const ms: number[] = [];
    const values: (number | string)[] = [];
    for (let i = 0; i < times; i++) {
      const started = performance.now();
      values.push(await turn());
      ms.push(performance.now() - started);
    }
    console.log(JSON.stringify({ ms, values } satisfies Answer));
  }
}

if (import.meta.main) await main(Deno.args);
