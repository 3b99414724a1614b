/**
 * What `compare --dry-run` prints: the runs, and about how long they take.
 *
 * @module
 */

import { matmul } from "../../lib/autograd/matmul.ts";
import type { Device } from "../../lib/autograd/device.ts";
import { configOf } from "./queue.ts";
import type { ComparePlan, PlannedRun } from "../../lib/compare/plan.ts";
import type { RunResult } from "../../lib/compare/run_result.ts";
import type { RunStore } from "../../lib/compare/run_store.ts";
import { formatCount, formatSeconds } from "../shared/format.ts";
import { costsOf, lastStep } from "./progress.ts";
import { METRICS } from "../../lib/run/find_run.ts";

/** Rough share of a large product's speed that training, with its smaller products, reaches. */
const SHARE = 0.4;

/** A planned run and the time it still needs. */
interface Line {
  readonly run: PlannedRun;
  readonly text: string;
  /** Seconds that one job needs. */
  readonly left: number;
}

/**
 * Lists the runs.
 *
 * @param plan The runs.
 * @param store Their folders.
 * @param jobs Processes at once.
 * @param flopsPerSecond Speed of one process from {@linkcode measureSpeed}; replaced by that of the
 * finished runs if there are any.
 * @returns Lines.
 */
export function dryRunReport(
  plan: ComparePlan,
  store: RunStore,
  jobs: number,
  flopsPerSecond: number,
): string {
  const costs = costsOf(plan.runs);
  const results = new Map<PlannedRun, RunResult | null>();
  const found = plan.runs.map((run) => {
    const config = configOf(run, run.matched && (results.get(run.matched) ?? null));
    const stored = config === null ? undefined : store.find(config, run.isa);
    results.set(run, stored?.result ?? null);
    return { run, config, stored };
  });
  const finished = [...results.values()].filter((result) => result !== null);
  const [flops, seconds] = [
    finished.reduce((sum, result) => sum + result.flops, 0),
    finished.reduce((sum, result) => sum + result.seconds, 0),
  ];
  const speed = seconds > 0 ? flops / seconds : flopsPerSecond;
  const lines = found.map(({ run, config, stored }): Line => {
    const state = stored?.state() ?? "new";
    const steps = config?.steps ?? run.config.steps;
    const step = state === "begun" ? lastStep(`${stored!.directory}/${METRICS}`) : 0;
    const cost = costs.get(run)!;
    const left = state === "finished" ? 0 : cost / speed * (1 - step / steps);
    const how = state === "finished"
      ? "finished"
      : cost === 0
      ? "the same run as an earlier one"
      : `${state === "begun" ? `at step ${step}, ` : ""}about ${formatSeconds(left)}`;
    const matched = config === null ? `, as many as ${run.matched!.row} allows` : "";
    return { run, left, text: `${run.row}, seed ${run.seed}: ${steps} steps${matched}, ${how}` };
  });
  const left = lines.reduce((sum, line) => sum + line.left, 0) / jobs;
  const source = seconds > 0 ? "by the finished runs" : "by the speed of a matrix product, roughly";
  return [
    ...lines.map(({ text }) => `  ${text}`),
    `${lines.length} runs, ${finished.length} finished, ${jobs} at once`,
    `About ${formatSeconds(left)} at ${formatCount(speed)}FLOPS a job, ${source}`,
  ].join("\n");
}

/**
 * Times a matrix product.
 *
 * @param device The device, with the threads of one job.
 * @returns Expected FLOPs per second in training.
 */
export async function measureSpeed(device: Device): Promise<number> {
  const size = 384;
  const rounds = 8;
  using a = device.normal([size, size]);
  using b = device.normal([size, size]);
  const once = async (): Promise<number> => {
    const start = performance.now();
    for (let i = 0; i < rounds; i++) {
      using _product = matmul(a, b);
    }
    await device.synchronize();
    return (performance.now() - start) / 1000;
  };
  // The first round wakes the threads.
  await once();
  const seconds = Math.min(await once(), await once());
  return SHARE * rounds * 2 * size ** 3 / seconds;
}
