/**
 * Measures one of the runs that a command line names.
 *
 * @module
 */

import type { Device } from "../../lib/autograd/device.ts";
import type { EvaluationResult } from "../../lib/evaluate/results.ts";
import { scorerFor } from "../../lib/evaluate/scorer_for.ts";
import { tokensOf } from "../../lib/evaluate/scorer.ts";
import { scoreTask } from "../../lib/evaluate/task_results.ts";
import { measureText, windowsOf } from "../../lib/evaluate/text_loss.ts";
import { type OpenedModel, openModel } from "../../lib/model/open_model.ts";
import { routerLabel } from "../../lib/moe/router_of.ts";
import { formatCount, formatSeconds } from "../shared/format.ts";
import type { Output } from "../shared/output.ts";
import type { PreparedRun, RunRequest } from "./prepare_runs.ts";
import { EvaluationProgress } from "./progress.ts";

/**
 * Opens a run's model and measures it.
 *
 * @param device The device.
 * @param prepared The run.
 * @param request The command line.
 * @param output Where to show progress.
 * @returns The results.
 * @throws {CheckpointError} If the model cannot be opened.
 * @throws {LogitsError} If a score is not a number.
 */
export async function evaluateRun(
  device: Device,
  prepared: PreparedRun,
  request: RunRequest,
  output: Output,
): Promise<EvaluationResult> {
  const started = new Date();
  const { run, checkpoint, maxLength } = prepared;
  using opened = await openModel(device, checkpoint, { dtype: request.dtype });
  const measured = measure({ device, opened, batch: request.batch }, prepared, output);
  return {
    settings: {
      ...{ run: run.path, step: opened.step, router: routerLabel(run.config.moe.router) },
      ...{ limit: request.limit ?? null, maxLength, bos: request.bos },
      ...{ device: device.info().backend, dtype: opened.model.dtype },
    },
    ...{ ...measured, started, seconds: (Date.now() - started.getTime()) / 1000 },
  };
}

/** A model, and how it is to be measured. */
interface Measurable {
  readonly device: Device;
  readonly opened: OpenedModel;
  /** Tokens per batch. */
  readonly batch: number;
}

function measure(
  { device, opened, batch }: Measurable,
  { tasks, text }: PreparedRun,
  output: Output,
): Pick<EvaluationResult, "tasks" | "text"> {
  const scorer = scorerFor(opened.config.moe, { device, model: opened.model, batch });
  const items = [...[...text.values()].map(windowsOf), ...tasks.map(({ requests }) => requests)];
  const held = tokensOf(items.flat(2));
  const cost = items.reduce((sum, each) => sum + scorer.cost(each), 0);
  const progress = new EvaluationProgress(output, cost);
  const count = (what: string) => (tokens: number): void => progress.add(tokens, what);
  try {
    const measured = {
      text: text.size === 0 ? null : measureText(text, scorer, count("text")),
      tasks: tasks.map((task) => scoreTask(task, scorer, count(task.name))),
    };
    const { seconds } = progress;
    progress.stop();
    const [total, needed] = [formatCount(held), formatCount(cost)];
    const read = needed === total ? "" : `, of which ${needed} had to be read,`;
    output.progress(
      `Scored ${total} tokens${read} in ${formatSeconds(seconds)}, ` +
        `${formatCount(held / seconds)} tokens/s\n`,
    );
    return measured;
  } catch (error) {
    progress.stop();
    throw error;
  }
}
