/**
 * Writes the metrics of a run for TensorBoard.
 *
 * @module
 */

import { requireFunction, requireOptions, requirePath, requireWhole } from "../../arguments.ts";
import { requireConfig } from "../../config/require.ts";
import type { TrainConfig } from "../../config/config.ts";
import { routerOf } from "../../moe/router_of.ts";
import type { MetricsSink } from "../metrics.ts";
import {
  isFlips,
  isValidation,
  type MetricsLine,
  requireLine,
  type StepMetrics,
} from "../metrics_line.ts";
import { requireSample, type Sample } from "../samples.ts";
import { histogram, scalar, summary, text } from "./event.ts";
import { EventFile } from "./event_file.ts";
import { flipScalars, layerName, type Scalar, stepScalars, validationScalars } from "./tags.ts";

/** TensorBoard keeps 500 histograms per tag and drops the rest. */
const HISTOGRAMS = 500;

/** Options of {@linkcode TensorBoardSink}. */
export interface TensorBoardOptions {
  /** Steps already taken: those of the checkpoint that a run resumes from; default 0. */
  readonly from?: number;
  /** Returns milliseconds since 1970; default the system clock. */
  readonly now?: () => number;
}

/**
 * Writes metrics and samples as TensorFlow event files. `metrics.jsonl` remains the record of the
 * run: numbers lose half their digits here.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseConfig, TensorBoardSink } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * {
 *   using sink = new TensorBoardSink(folder, parseConfig({}));
 *   sink.write({ step: 50, valid_loss: 1.33, valid_bits_per_byte: 1.92 });
 *   sink.writeSample({ step: 50, prompt: "", text: "The people of" });
 * }
 * assertEquals([...Deno.readDirSync(folder)].length, 1); // tensorboard --logdir <folder>
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class TensorBoardSink implements MetricsSink {
  readonly #file: EventFile;
  readonly #config: TrainConfig;
  readonly #histogramEvery: number;
  /** Tags already described in this file. */
  readonly #described = new Set<string>();

  /**
   * Creates an event file; a resumed run gets a new one.
   *
   * @param folder The folder of event files; created if missing.
   * @param config The run's configuration, shown as text.
   * @param options Where the run resumes, and the clock.
   * @throws {ConfigError} The configuration is incomplete.
   * @throws {TypeError} Another argument has the wrong type.
   * @throws {FileError} The file cannot be created.
   */
  constructor(folder: string, config: TrainConfig, options: TensorBoardOptions = {}) {
    const operation = "open an event file";
    requirePath(operation, "folder", folder);
    requireConfig(config);
    requireOptions(operation, options, { from: true, now: true });
    const { from = 0, now = Date.now } = options;
    requireWhole(operation, "from", from);
    requireFunction(operation, "now", now);
    this.#config = config;
    this.#histogramEvery = Math.ceil(config.steps / HISTOGRAMS);
    this.#file = new EventFile(folder, from + 1, now);
    this.#file.append(from, summary([text("config", asCode(JSON.stringify(config, null, 2)))]));
  }

  /**
   * Appends a line's metrics.
   *
   * @param line The metrics.
   * @throws {TypeError} The line is not a line of metrics.
   * @throws {FileError} They cannot be written.
   */
  write(line: MetricsLine): void {
    requireLine(this.#file.path, line);
    const router = routerOf(this.#config.moe);
    if (isValidation(line)) return this.#append(line.step, validationScalars(line));
    if (isFlips(line)) return this.#append(line.step, flipScalars(line));
    this.#append(line.step, stepScalars(line, router));
    if (router.routed && line.step % this.#histogramEvery === 0) this.#appendLoad(line);
  }

  /**
   * Appends a text sampled from the model.
   *
   * @param sample The text and its step.
   * @throws {TypeError} A field of the sample has the wrong type.
   * @throws {RangeError} Its step is not a step.
   * @throws {FileError} It cannot be written.
   */
  writeSample(sample: Sample): void {
    requireSample(this.#file.path, sample);
    this.#file.append(sample.step, summary([text("sample", asCode(sample.text))]));
  }

  /** Waits until what was written is on disk. */
  flush(): void {
    this.#file.flush();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  #append(step: number, scalars: readonly Scalar[]): void {
    const values = scalars.map(({ tag, value, about }) =>
      scalar(tag, value, this.#once(tag, about))
    );
    this.#file.append(step, summary(values));
  }

  #appendLoad({ step, expert_load }: StepMetrics): void {
    const what = routerOf(this.#config.moe).merges
      ? "Mean weight of each expert"
      : "Share of the layer's routed rows by expert";
    const about = `${what}: the axis counts experts from 0`;
    const values = expert_load.map((shares, layer) => {
      const tag = `expert_load/${layerName(layer)}`;
      return histogram(tag, shares, this.#once(tag, about));
    });
    this.#file.append(step, summary(values));
  }

  /** Returns the description the first time a tag is used. */
  #once(tag: string, about: string): string | undefined {
    if (this.#described.has(tag)) return undefined;
    this.#described.add(tag);
    return about;
  }
}

/** Formats text as Markdown that is shown verbatim. */
function asCode(text: string): string {
  return text.split("\n").map((line) => `    ${line}`).join("\n");
}
