/** Times MoE and ReMoE in turn, on the same weights. @module */

import type { Device } from "../../mod.ts";
import type { TrainConfig } from "../../lib/train/mod.ts";
import { type CaseResult, caseResult } from "../harness/results.ts";
import { timeInTurn } from "../harness/rounds.ts";
import { peakOf } from "../harness/watch.ts";
import type { Aim } from "../models/aimed_router.ts";
import { type Aims, BenchModel } from "../models/model.ts";
import { formulaWork, type ModelPass, modelWork } from "../models/work.ts";

/** The subjects to compare: the paper's baseline, and ReMoE in each of its stages. */
export const SUBJECTS = ["MoE", "ReMoE I", "ReMoE II", "ReMoE III"] as const;

/** A router at a stage. */
export type Subject = typeof SUBJECTS[number];

/** A model's times. */
export interface Times {
  /** Its sizes, with the layers that were measured. */
  readonly config: TrainConfig;
  /** A result per subject; inference has only the last of the stages. */
  readonly subjects: Readonly<Partial<Record<Subject, CaseResult>>>;
  /** What follows the micro-batches of a step; absent if only the forward pass was timed. */
  readonly optimizer?: CaseResult;
}

/** Options of a measurement. */
export interface MeasureOptions {
  /** Samples per subject. */
  readonly rounds: number;
  /** Called with what happens. */
  readonly onProgress: (text: string) => void;
}

/**
 * Returns the routers: TopK with its k experts; ReLU with every gate open, as at the start of stage
 * I; halfway from there to the target, as in the middle of stage II; and at the target, k/E.
 *
 * @param config The mixture.
 * @returns The routers.
 */
export function aimsOf({ moe }: TrainConfig): Aims<Subject> {
  const target = moe.active / moe.experts;
  const relu = (density: number): Aim => ({ router: "relu", density });
  return {
    MoE: { router: "topk", density: target },
    "ReMoE I": relu(1),
    "ReMoE II": relu((1 + target) / 2),
    "ReMoE III": relu(target),
  };
}

/**
 * Times the forward pass of MoE and of ReMoE in stage III.
 *
 * @param device The device.
 * @param config Sizes and micro-batch.
 * @param options Rounds and progress.
 * @returns The times.
 */
export function measureForward(
  device: Device,
  config: TrainConfig,
  options: MeasureOptions,
): Times {
  const { "MoE": moe, "ReMoE III": sparse } = aimsOf(config);
  const aims = { MoE: moe, "ReMoE III": sparse };
  options.onProgress(`${titleOf(config)}: forward`);
  using model = new BenchModel(device, { config, aims, optimizer: false });
  return { config, subjects: measure(device, config, { model, aims, pass: "forward", options }) };
}

/**
 * Times a micro-batch forward and backward, for MoE and for ReMoE in each stage, and what follows a
 * step's last micro-batch.
 *
 * @param device The device.
 * @param config Sizes and micro-batch.
 * @param options Rounds and progress.
 * @returns The times.
 */
export function measureTraining(
  device: Device,
  config: TrainConfig,
  options: MeasureOptions,
): Times {
  const aims = aimsOf(config);
  options.onProgress(`${titleOf(config)}: forward and backward`);
  using model = new BenchModel(device, { config, aims, optimizer: true });
  // Stage I takes the most memory: touch all of it before anything is timed.
  model.use("ReMoE I");
  model.forwardAndBackward();
  model.finishStep();
  const subjects = measure(device, config, {
    model,
    aims,
    pass: "forward and backward",
    options,
  });
  const turns = { rounds: options.rounds, probe: probeOf(device) };
  const times = timeInTurn([model], () => model.finishStep(), turns).get(model)!;
  const step = modelWork(config, 1, "step");
  const passes = modelWork(config, 1, "forward and backward");
  const work = { flops: step.flops - passes.flops, bytes: step.bytes - passes.bytes };
  const benchCase = { group: "optimizer", name: `${nameOf(config)} gradient norm and AdamW` };
  return { config, subjects, optimizer: caseResult({ ...benchCase, ...work }, times) };
}

/** What {@linkcode measure} works with. */
interface Measurement<Name extends Subject> {
  readonly model: BenchModel<Name>;
  readonly aims: Aims<Name>;
  readonly pass: ModelPass;
  readonly options: MeasureOptions;
}

function measure<Name extends Subject>(
  device: Device,
  config: TrainConfig,
  { model, aims, pass, options }: Measurement<Name>,
): Partial<Record<Subject, CaseResult>> {
  const names = Object.keys(aims) as Name[];
  for (const name of names) model.use(name);
  device.synchronize();
  const times = timeInTurn(
    names,
    (name) => {
      model.use(name);
      model.run(pass);
      device.synchronize();
    },
    {
      rounds: options.rounds,
      probe: probeOf(device),
      onSample: (name, sample, round) =>
        options.onProgress(
          `${titleOf(config)}: ${pass}, ${name}, round ${round}: ${sample.toFixed(2)} s`,
        ),
    },
  );
  return Object.fromEntries(names.map((name) => {
    const work = modelWork(config, aims[name].density, pass);
    const benchCase = { group: pass, name: `${nameOf(config)} ${name}`, ...work };
    return [name, caseResult(benchCase, times.get(name)!, formulaWork(config, pass))];
  }));
}

/** Probes the peak of fp32 products, in which these models compute. */
function probeOf(device: Device): () => number {
  const peak = peakOf(device);
  return () => peak("f32");
}

function titleOf({ preset, model }: TrainConfig): string {
  return `${preset}, ${model.layers} layers`;
}

function nameOf({ preset, model, moe, data }: TrainConfig): string {
  return `${preset} L=${model.layers} V=${model.vocabulary} B=${data.micro_batch} ` +
    `S=${data.sequence} E=${moe.experts} k=${moe.active}`;
}
