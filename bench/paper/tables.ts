/** The paper's tables 6 and 7, measured on this machine. @module */

import { parseConfig, type TrainConfig } from "../../lib/train/mod.ts";
import type { Machine } from "../harness/machine.ts";
import type { CaseResult } from "../harness/results.ts";
import { digits, markdownTable, percent, time } from "../harness/table.ts";
import type { Times } from "./measure.ts";

/** A model's times, forward and in training. */
export interface ModelTimes {
  readonly forward: Times;
  readonly training: Times;
}

/** Peak in GFLOPS from which on rates are given in TFLOPS. */
const TERA_FROM = 5000;

/**
 * Formats a table like the paper's Table 7: training and inference, MoE against ReMoE in stage III.
 *
 * @param models The models.
 * @param machine The machine, whose peak decides the unit.
 * @returns Lines of Markdown.
 */
export function throughputTable(models: readonly ModelTimes[], machine: Machine): string {
  const isTera = machine.peak_gflops >= TERA_FROM;
  const [unit, scale] = isTera ? ["TFLOPS", 1e12] : ["GFLOPS", 1e9];
  const rows = models.flatMap(({ forward, training }) =>
    ([["train", training], ["infer", forward]] as const).map(([pass, { config, subjects }]) => {
      const [moe, remoe] = [subjects.MoE!, subjects["ReMoE III"]!];
      const formula = (result: CaseResult): number => result.formula_flops! / result.median_s;
      const executed = (result: CaseResult): number => result.flops / result.median_s;
      return [
        ...sizeCells(config),
        pass,
        digits(formula(moe) / scale),
        digits(formula(remoe) / scale),
        difference(formula(remoe) / formula(moe)),
        time(moe.median_s, moe.disturbed, "s"),
        time(remoe.median_s, remoe.disturbed, "s"),
        digits(executed(moe) / scale),
        digits(executed(remoe) / scale),
        percent(executed(remoe) / 1e9 / machine.peak_gflops),
      ];
    })
  );
  const number = (title: string) => ({ title, isNumber: true });
  return markdownTable([
    { title: "size" },
    number("layers"),
    { title: "pass" },
    number(`MoE ${unit}`),
    number(`ReMoE ${unit}`),
    number("difference"),
    number("MoE s"),
    number("ReMoE s"),
    number("MoE executed"),
    number("ReMoE executed"),
    number("of peak"),
  ], rows);
}

/**
 * Formats a table like the paper's Table 6: the time of a micro-batch in each stage.
 *
 * @param models The models.
 * @returns Lines of Markdown.
 */
export function stageTable(models: readonly ModelTimes[]): string {
  const stages = ["ReMoE I", "ReMoE II", "ReMoE III"] as const;
  const rows = models.map(({ training: { config, subjects, optimizer } }) => {
    const { median_s: moe, disturbed } = subjects.MoE!;
    const times = stages.map((stage) => subjects[stage]!);
    return [
      ...sizeCells(config),
      time(moe, disturbed, "s"),
      ...times.map(({ median_s, disturbed }) => time(median_s, disturbed, "s")),
      ...times.map(({ median_s }) => (median_s / moe).toFixed(3)),
      ...times.map(({ median_s, flops }) => digits(flops / median_s / 1e9)),
      time(optimizer!.median_s, optimizer!.disturbed, "s"),
    ];
  });
  const number = (title: string) => ({ title, isNumber: true });
  return markdownTable([
    { title: "size" },
    number("layers"),
    number("MoE s"),
    number("I s"),
    number("II s"),
    number("III s"),
    number("I / MoE"),
    number("II / MoE"),
    number("III / MoE"),
    number("I GFLOPS"),
    number("II GFLOPS"),
    number("III GFLOPS"),
    number("optimizer s"),
  ], rows);
}

/**
 * Says how long a full optimizer step would take: its micro-batches, and the optimizer once.
 *
 * @param models The models.
 * @returns A line for each model measured with all its layers.
 */
export function stepLines(models: readonly ModelTimes[]): string {
  return models.flatMap(({ training: { config, subjects, optimizer } }) => {
    const whole = parseConfig({ preset: config.preset });
    if (whole.model.layers !== config.model.layers) return [];
    const microBatches = whole.data.batch / config.data.micro_batch;
    const step = ({ median_s }: CaseResult): string =>
      digits(microBatches * median_s + optimizer!.median_s);
    return [
      `A step of ${config.preset} (${whole.data.batch} x ${config.data.sequence} tokens, computed ` +
      `as ${microBatches} micro-batches and the optimizer once): MoE ${step(subjects.MoE!)} s, ` +
      `ReMoE ${step(subjects["ReMoE I"]!)}, ${step(subjects["ReMoE II"]!)} and ` +
      `${step(subjects["ReMoE III"]!)} s in stages I, II and III`,
    ];
  }).join("\n");
}

/** Notes below the tables, explaining their columns. */
export const NOTES: string = [
  "GFLOPS of MoE and ReMoE are by Megatron-LM's formula, which counts k experts and all of S x S,",
  "a third of it for inference. Executed GFLOPS count products that were run: the causal half of",
  "attention, the router, the experts' routed rows and the head.",
  "Times are medians of one micro-batch: forward and backward, or forward with the loss. If memory",
  "does not hold all layers, the vocabulary is smaller by the same factor, so that the output head",
  "keeps its share; the formula counts what was measured. MoE is TopK. The gates' densities are",
  "set through the routers' weights (bench/models/aim.ts): all open in stage I, halfway to k/E in",
  "II, k/E in III; loads are even. All share the same experts and tokens.",
].join("\n");

function sizeCells({ preset, model }: TrainConfig): [string, string] {
  const { layers } = parseConfig({ preset }).model;
  return [preset, model.layers === layers ? String(layers) : `${model.layers} of ${layers}`];
}

function difference(ratio: number): string {
  const change = 100 * (ratio - 1);
  return `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(2)} %`;
}
