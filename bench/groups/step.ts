import { parseConfig, type PresetName, type TrainConfig } from "../../lib/train/mod.ts";
import type { BenchCase } from "../harness/case.ts";
import type { Aim } from "../models/aimed_router.ts";
import { BenchModel } from "../models/model.ts";
import { type ModelPass, modelWork } from "../models/work.ts";

/** A router at a stage of training. */
interface Stage extends Aim {
  readonly name: string;
}

const STAGES: readonly Stage[] = [
  { name: "topk", router: "topk", density: 1 / 8 },
  { name: "relu, stage III", router: "relu", density: 1 / 8 },
  { name: "relu, stage I", router: "relu", density: 1 },
];

/** A model and how much of it to time. */
interface Stretch {
  readonly preset: PresetName;
  /** Sequences per micro-batch. */
  readonly sequences: number;
  /** Number of layers, if the full model takes too long. */
  readonly layers?: number;
  readonly passes: readonly ModelPass[];
  readonly full: boolean;
}

const ALL: readonly ModelPass[] = ["forward", "forward and backward", "step"];

/** The paper's models take minutes per step: `deno task bench:paper` times them. */
const STRETCHES: readonly Stretch[] = [
  { preset: "pico", sequences: 16, passes: ["step"], full: false },
  { preset: "nano", sequences: 16, passes: ALL, full: false },
  { preset: "182m", sequences: 1, layers: 1, passes: ["step"], full: true },
];

/**
 * Full steps of one micro-batch each, with both routers.
 *
 * @returns The cases.
 */
export function stepCases(): BenchCase[] {
  return STRETCHES.flatMap(({ preset, sequences, layers, passes, full }) => {
    const { model: { layers: all } } = parseConfig({ preset });
    const config = parseConfig({
      preset,
      model: { layers: layers ?? all },
      data: { batch: sequences, micro_batch: sequences },
    });
    return STAGES.flatMap((stage) => passes.map((pass) => stepCase(config, stage, pass, full)));
  });
}

function stepCase(
  config: TrainConfig,
  { name, router, density }: Stage,
  pass: ModelPass,
  full: boolean,
): BenchCase {
  const { preset, model, moe, data } = config;
  return {
    group: "step",
    name: `${preset} ${name}, ${pass} L=${model.layers} B=${data.micro_batch} ` +
      `S=${data.sequence} E=${moe.experts}`,
    ...modelWork(config, density, pass),
    full,
    prepare(device) {
      const step = new BenchModel(device, {
        config,
        aims: { [name]: { router, density } },
        optimizer: pass === "step",
      });
      step.use(name);
      return { run: () => step.run(pass), [Symbol.dispose]: () => step[Symbol.dispose]() };
    },
  };
}
