/**
 * The figures of a run and where they go.
 *
 * @module
 */

import { writeAllSync } from "./files.ts";
import type { Stage } from "./stage.ts";

/** The figures of one optimizer step: a line of `metrics.jsonl`. */
export interface StepMetrics {
  /** The step, counted from 1. */
  readonly step: number;
  /** Language-model loss, nats a token, without the regularisation. */
  readonly loss: number;
  /** Learning rate of the step. */
  readonly lr: number;
  /** Norm of the whole gradient before clipping. */
  readonly grad_norm: number;
  /** S of equation 8: share of closed pairs of token and expert, all layers. */
  readonly sparsity: number;
  /** The same of each layer. */
  readonly sparsity_per_layer: readonly number[];
  /** λ that the step used. */
  readonly lambda: number;
  /** L_reg of equation 9 or 10, without λ; TopK: its balance loss without coefficient. */
  readonly l1_reg: number;
  /** Of each layer, the share of its routed rows that each expert got. */
  readonly expert_load: readonly (readonly number[])[];
  /** Pairs of a layer and a token that no expert of the layer took. */
  readonly tokens_without_expert: number;
  /** The stage after the step. */
  readonly stage: Stage;
  /** Tokens seen since the run's start. */
  readonly tokens: number;
  /** Tokens of the step over its time. */
  readonly tokens_per_second: number;
  /** FLOPs of the step by the formula, over its time, in GFLOPS. */
  readonly gflops: number;
  /** FLOPs that the step really ran, over its time, in GFLOPS. */
  readonly gflops_executed: number;
  /** Time of the step in milliseconds. */
  readonly ms: number;
  /** Most bytes of device memory in use at once during the step. */
  readonly memory_bytes: number;
}

/** The figures of a validation: a line of `metrics.jsonl`. */
export interface ValidationMetrics {
  /** Steps taken before. */
  readonly step: number;
  /** Loss on the held-out documents, nats a token. */
  readonly valid_loss: number;
  /** The same in bits a byte of text; end-of-document tokens have no byte. */
  readonly valid_bits_per_byte: number;
  /** The loss of each domain in nats a token, where there are several. */
  readonly valid_loss_by_domain?: Readonly<Record<string, number>>;
  /** The same in bits a byte of text. */
  readonly valid_bits_per_byte_by_domain?: Readonly<Record<string, number>>;
}

/** A line of `metrics.jsonl`. */
export type MetricsLine = StepMetrics | ValidationMetrics;

/** Takes the figures of a run as they come. */
export interface MetricsSink extends Disposable {
  /** Takes one line. */
  write(line: MetricsLine): void;
  /** Makes sure that what was written outlives the process and the machine. */
  flush(): void;
}

/**
 * Tells the two kinds of lines apart.
 *
 * @param line A line of `metrics.jsonl`.
 * @returns Whether it is a validation's.
 */
export function isValidation(line: MetricsLine): line is ValidationMetrics {
  return "valid_loss" in line;
}

/** Passes figures on to several sinks, in order. */
export class MetricsSinks implements MetricsSink {
  readonly #sinks: readonly MetricsSink[];

  /**
   * Takes the sinks over.
   *
   * @param sinks Where figures go; disposed of with this one, last first.
   */
  constructor(sinks: readonly MetricsSink[]) {
    this.#sinks = sinks;
  }

  /**
   * Hands a line to each sink.
   *
   * @param line The figures.
   */
  write(line: MetricsLine): void {
    for (const sink of this.#sinks) sink.write(line);
  }

  /** Flushes each sink. */
  flush(): void {
    for (const sink of this.#sinks) sink.flush();
  }

  /** Closes each sink. */
  [Symbol.dispose](): void {
    for (const sink of this.#sinks.toReversed()) sink[Symbol.dispose]();
  }
}

/** Appends lines of JSON to a file. What JSON has no number for, like NaN, becomes null. */
export class JsonlSink implements MetricsSink {
  readonly #file: Deno.FsFile;
  readonly #encoder = new TextEncoder();

  /**
   * Opens a file for appending, and creates it where there is none.
   *
   * @param path The file.
   */
  constructor(path: string) {
    this.#file = Deno.openSync(path, { append: true, create: true });
  }

  /**
   * Appends a line, handed to the system at once, so that a killed process loses none.
   *
   * @param line The figures.
   */
  write(line: MetricsLine): void {
    writeAllSync(this.#file, this.#encoder.encode(`${JSON.stringify(line)}\n`));
  }

  /** Waits until the lines are on the disk. */
  flush(): void {
    this.#file.syncSync();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/**
 * Reads a metrics file. A last line without its end, which a killed process can leave, is left
 * out.
 *
 * @param path A file as {@linkcode JsonlSink} writes it.
 * @returns Its lines in order.
 * @throws {SyntaxError} A line is not JSON; names the file and the line.
 */
export function readMetrics(path: string): MetricsLine[] {
  return completeLines(path).map((text, index) => parseLine(text, path, index));
}

/**
 * Drops the lines of later steps, so that a resumed run writes them anew.
 *
 * @param path A file as {@linkcode JsonlSink} writes it; a missing one is left missing.
 * @param step The last step to keep.
 * @throws {SyntaxError} A line is not JSON; names the file and the line.
 */
export function truncateMetrics(path: string, step: number): void {
  let lines: string[];
  try {
    lines = completeLines(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const kept = lines.filter((text, index) => parseLine(text, path, index).step <= step);
  const temporary = `${path}.tmp`;
  Deno.writeTextFileSync(temporary, kept.map((text) => `${text}\n`).join(""));
  Deno.renameSync(temporary, path);
}

function completeLines(path: string): string[] {
  return Deno.readTextFileSync(path).split("\n").slice(0, -1);
}

function parseLine(text: string, path: string, index: number): MetricsLine {
  try {
    return JSON.parse(text) as MetricsLine;
  } catch (cause) {
    throw new SyntaxError(`Cannot read line ${index + 1} of ${path}: it is not JSON`, { cause });
  }
}
