/** Results in the form of lm-evaluation-harness, so that its readers take them. @module */

import { CONFIDENCE } from "../statistics.ts";
import type { Difference, Differences } from "./differences.ts";
import type { Figure } from "./metrics.ts";
import type { TaskResult } from "./task_results.ts";
import { type TaskName, TASKS } from "./tasks/tasks.ts";
import type { TextFigures, TextResult } from "./text_loss.ts";

/** What was evaluated, and how. */
export interface EvaluationSettings {
  /** The run directory. */
  readonly run: string;
  /** Training steps completed. */
  readonly step: number;
  /** The router's name. */
  readonly router: string;
  /** Items per task, or documents per domain; null for all. */
  readonly limit: number | null;
  /** Most tokens that the model reads at a time. */
  readonly maxLength: number;
  /** Whether an end-of-document token precedes each context. */
  readonly bos: boolean;
  /** The device, as `cpu` or `cuda`. */
  readonly device: string;
  /** The type of the activations. */
  readonly dtype: string;
}

/** All that an evaluation measured. */
export interface EvaluationResult {
  /** What was evaluated, and how. */
  readonly settings: EvaluationSettings;
  /** The tasks, in the order asked for. */
  readonly tasks: readonly TaskResult[];
  /** The text; null if none was measured. */
  readonly text: TextResult | null;
  /** When it began. */
  readonly started: Date;
  /** How long it took. */
  readonly seconds: number;
}

/** A result beside that of another run on the same items. */
export interface ComparedResult {
  /** What the other was. */
  readonly baseline: EvaluationSettings;
  /** How the result differs from it. */
  readonly differences: Differences;
}

/** The name of the text's results; that of a domain follows after a colon. */
const TEXT = "text";

/**
 * Writes results as the harness does, with what is this project's own under `remoe`.
 *
 * @param result The results.
 * @param compared How they differ from those of another run, if there is one.
 * @returns The object; plain JSON.
 */
export function resultsJson(
  result: EvaluationResult,
  compared?: ComparedResult,
): Record<string, unknown> {
  const { settings, tasks, text, started, seconds } = result;
  const byTask = <T>(value: (task: TaskResult, name: TaskName) => T): Record<string, T> =>
    Object.fromEntries(tasks.map((each) => [each.task.name, value(each, each.task.name)]));
  const texts = text === null ? [] : byText(text);
  return {
    results: {
      ...byTask(taskFigures),
      ...Object.fromEntries(texts.map(([name, figures]) => [name, textFigures(name, figures)])),
    },
    group_subtasks: byTask(() => []),
    configs: byTask(({ task }, name) => ({
      ...{ task: name, dataset_path: "json", dataset_kwargs: { data_files: task.file } },
      num_fewshot: 0,
    })),
    versions: byTask((_, name) => TASKS[name].version),
    "n-shot": byTask(() => 0),
    higher_is_better: byTask((_, name) =>
      Object.fromEntries(TASKS[name].metrics.map((metric) => [metric, metric !== "perplexity"]))
    ),
    "n-samples": byTask(({ task }) => ({ original: task.total, effective: task.items.length })),
    config: {
      ...{ model: "remoe", model_args: { run: settings.run, step: settings.step } },
      ...{ limit: settings.limit, device: settings.device },
    },
    date: started.getTime() / 1000,
    max_length: settings.maxLength,
    model_source: "remoe",
    model_name: settings.run,
    total_evaluation_time_seconds: String(seconds),
    remoe: {
      ...settings,
      items_cut: byTask(({ task }) => task.cut),
      tokens: byTask(({ task }) => task.tokens),
      ...(text === null ? {} : { text: Object.fromEntries(texts) }),
      ...(compared === undefined ? {} : { compared: comparedJson(compared) }),
    },
  };
}

/**
 * Writes the items of a task as the harness logs samples.
 *
 * @param result The task's results.
 * @returns One object per item; plain JSON.
 */
export function sampleRows({ task, results }: TaskResult): Record<string, unknown>[] {
  return results.map(({ scores, metrics }, i) => {
    const { context, continuations, gold } = task.items[i]!;
    const responses = scores.map(({ logLikelihood, isGreedy }) => [logLikelihood, isGreedy]);
    return {
      doc_id: i,
      target: continuations.length === 1 ? continuations[0] : gold,
      arguments: continuations.map((continuation) => [context, continuation]),
      resps: responses.map((response) => [response]),
      filtered_resps: responses,
      filter: "none",
      metrics: [...metrics.keys()],
      tokens: task.requests[i]!.map(({ tokens, scored }) => ({ read: tokens.length - 1, scored })),
      ...Object.fromEntries(metrics),
    };
  });
}

function taskFigures({ task, figures }: TaskResult): Record<string, unknown> {
  return {
    ...{ name: task.name, alias: task.name, sample_len: task.items.length },
    ...Object.fromEntries(
      [...figures].flatMap(([metric, figure]) => figureEntries(metric, figure)),
    ),
  };
}

function textFigures(name: string, figures: TextFigures): Record<string, unknown> {
  const { documents, loss, bitsPerByte, standardError } = figures;
  return {
    ...{ name, alias: name, sample_len: documents },
    ...Object.fromEntries([
      ...figureEntries("loss", { value: loss, standardError: null }),
      ...figureEntries("bits_per_byte", { value: bitsPerByte, standardError }),
      ...figureEntries("byte_perplexity", { value: 2 ** bitsPerByte, standardError: null }),
    ]),
  };
}

function figureEntries(metric: string, { value, standardError }: Figure): [string, unknown][] {
  return [[`${metric},none`, value], [`${metric}_stderr,none`, standardError ?? "N/A"]];
}

/** Names what was measured of all documents, and of each domain if there are several. */
function byText<T>(
  { all, domains }: { readonly all: T; readonly domains: ReadonlyMap<string, T> },
): [string, T][] {
  const named = [...domains].map(([name, value]): [string, T] => [`${TEXT}:${name}`, value]);
  return [[TEXT, all], ...(domains.size === 1 ? [] : named)];
}

/** Differences under the names of the results that they are of. */
function comparedJson({ baseline, differences }: ComparedResult): Record<string, unknown> {
  const { domains, text, tasks, accuracy } = differences;
  const bits = (difference: Difference) => ({ bits_per_byte: differenceJson(difference) });
  const texts = text === null ? [] : byText({ all: text, domains });
  return {
    ...{ baseline, confidence: CONFIDENCE },
    results: Object.fromEntries<Record<string, unknown>>([
      ...texts.map(([name, difference]) => [name, bits(difference)] as const),
      ...[...tasks].map(([name, metrics]) =>
        [
          name,
          Object.fromEntries([...metrics].map(([metric, difference]) => [
            metric === "perplexity" ? "log_perplexity" : metric,
            differenceJson(difference),
          ])),
        ] as const
      ),
    ]),
    mean_acc: accuracy === null ? null : differenceJson(accuracy),
  };
}

function differenceJson({ items, value, standardError, interval }: Difference) {
  return { items, difference: value, stderr: standardError, interval };
}
