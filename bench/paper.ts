/**
 * The paper's tables 6 and 7 on this machine: `deno task bench:paper --help`.
 *
 * @module
 */

import type { Arguments } from "../cli/shared/arguments.ts";
import { measurePeak } from "../lib/ffi/mod.ts";
import { memoryOf } from "../lib/autograd/device.ts";
import { parseConfig, type PresetName } from "../lib/train/mod.ts";
import { Device } from "../mod.ts";
import { runCommand } from "./harness/command.ts";
import { finishResults, machineLine, makeResults, openDestination } from "./harness/report.ts";
import type { CaseResult } from "./harness/results.ts";
import { RESULT_FLAGS, resultOptions } from "./harness/selection.ts";
import { forwardConfig, freeMemory, trainingConfig } from "./paper/fit.ts";
import { measureForward, measureTraining, type Times } from "./paper/measure.ts";
import { type ModelTimes, NOTES, stageTable, stepLines, throughputTable } from "./paper/tables.ts";

const DEFAULTS = { sequences: 2, rounds: 2 } as const;

/** The paper's models. */
const PRESETS = ["182m", "469m", "978m"];

const FLAGS = {
  preset: {
    value: "NAME",
    repeat: true,
    about: "A model to measure; may be repeated",
    fallback: PRESETS.join(", "),
  },
  sequences: {
    value: "N",
    whole: { least: 1 },
    about: "Sequences per micro-batch",
    fallback: `${DEFAULTS.sequences}`,
  },
  layers: {
    value: "N",
    whole: { least: 1 },
    about: "Most layers to measure",
    fallback: "as many as fit",
  },
  rounds: {
    value: "N",
    whole: { least: 1 },
    about: "Samples per router and stage",
    fallback: `${DEFAULTS.rounds}`,
  },
  memory: {
    value: "GIB",
    whole: { least: 1 },
    about: "Memory to use",
    fallback: "85 % of the machine's",
  },
  ...RESULT_FLAGS,
};

async function paper(given: Arguments<typeof FLAGS>): Promise<void> {
  const rounds = given.whole("rounds") ?? DEFAULTS.rounds;
  const sequences = given.whole("sequences") ?? DEFAULTS.sequences;
  const mostLayers = given.whole("layers") ?? Infinity;
  const names = given.values("preset").length > 0 ? given.values("preset") : PRESETS;
  const presets = names.map((preset): PresetName => parseConfig({ preset }).preset);
  const destination = openDestination(resultOptions((name) => given.value(name)));
  using device = await Device.open();
  const info = device.info();
  const memory = given.whole("memory");
  const limit = memory === undefined
    ? freeMemory(info.memoryBytes, info.backend === "cpu")
    : memory * 2 ** 30;
  const configs = presets.map((preset) => {
    const stretch = { preset, sequences, mostLayers, limit };
    return { forward: forwardConfig(stretch), training: trainingConfig(stretch, device) };
  });
  const load = Deno.loadavg()[0]!;
  const { kernels } = memoryOf(device);
  const peak = measurePeak(kernels);
  const options = { rounds, onProgress: (text: string) => console.error(text) };
  const models: ModelTimes[] = [];
  for (const { forward, training } of configs) {
    const forwardTimes = measureForward(device, forward, options);
    device.trim();
    const trainingTimes = measureTraining(device, training, options);
    device.trim();
    models.push({ forward: forwardTimes, training: trainingTimes });
    // After each model, so that an interrupted run keeps what it has measured.
    const cases = models.flatMap((each) => [...casesOf(each.forward), ...casesOf(each.training)]);
    const results = makeResults({ kind: "paper", info, peak, load, cases });
    const last = finishResults(results, destination);
    if (models.length < configs.length) {
      console.error(`\n${throughputTable(models, results.machine)}\n`);
      continue;
    }
    console.log([
      machineLine(results.machine, results.date),
      `In the form of Table 7, micro-batches of ${sequences} sequences:\n\n` +
      throughputTable(models, results.machine),
      "In the form of Table 6, seconds per micro-batch forward and backward:\n\n" +
      stageTable(models),
      ...[stepLines(models)].filter((lines) => lines !== ""),
      NOTES,
      last,
    ].join("\n\n"));
  }
}

function casesOf({ subjects, optimizer }: Times): CaseResult[] {
  return [...Object.values(subjects), ...optimizer === undefined ? [] : [optimizer]];
}

if (import.meta.main) {
  await runCommand({
    call: "deno task bench:paper",
    about:
      "Times MoE and ReMoE in turn: training and inference, and ReMoE in each of its stages. " +
      "The three models take about half an hour on two cores.",
    flags: FLAGS,
    run: paper,
  });
}
