/**
 * The figures of a run and where they go.
 *
 * @module
 */

import { requireNumber, requireOneOf, requirePath, requireWhole, shown } from "../arguments.ts";
import { exists, onPath, OpenFile } from "./files.ts";
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
  /** λ that the step used; 0 where the router has none. */
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

/**
 * Takes the figures of a run as they come.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import type { MetricsLine, MetricsSink } from "@remoe/remoe/train";
 *
 * class MemorySink implements MetricsSink {
 *   readonly lines: MetricsLine[] = [];
 *   write(line: MetricsLine) {
 *     this.lines.push(line);
 *   }
 *   flush() {}
 *   [Symbol.dispose]() {}
 * }
 * using sink = new MemorySink();
 * sink.write({ step: 1, valid_loss: 3, valid_bits_per_byte: 4 });
 * assert(sink.lines.length === 1);
 * ```
 */
export interface MetricsSink extends Disposable {
  /**
   * Takes one line.
   *
   * @param line The figures of a step or of a validation.
   */
  write(line: MetricsLine): void;
  /** Makes sure that what was written outlives the process and the machine. */
  flush(): void;
}

/**
 * Tells the two kinds of lines apart.
 *
 * @param line A line of `metrics.jsonl`.
 * @returns Whether it is a validation's.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { isValidation } from "@remoe/remoe/train";
 *
 * assert(isValidation({ step: 1, valid_loss: 3, valid_bits_per_byte: 4 }));
 * ```
 */
export function isValidation(line: MetricsLine): line is ValidationMetrics {
  return typeof line === "object" && line !== null && "valid_loss" in line;
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

/**
 * Appends lines of JSON to a file. What JSON has no number for, like NaN, becomes null.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { JsonlSink, readMetrics } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * const path = `${folder}/metrics.jsonl`;
 * {
 *   using sink = new JsonlSink(path);
 *   for (const step of [1, 2]) sink.write({ step, valid_loss: 3 / step, valid_bits_per_byte: 4 / step });
 *   sink.flush();
 * }
 * assert(readMetrics(path).length === 2);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class JsonlSink implements MetricsSink {
  readonly #file: OpenFile;
  readonly #encoder = new TextEncoder();

  /**
   * Opens a file for appending, and creates it where there is none.
   *
   * @param path The file.
   * @throws {TypeError} The path is none.
   * @throws {FileError} It cannot be opened.
   */
  constructor(path: string) {
    requirePath("write figures", "path", path);
    this.#file = new OpenFile("write", path, { append: true, create: true });
  }

  /**
   * Appends a line, handed to the system at once, so that a killed process loses none.
   *
   * @param line The figures.
   * @throws {TypeError} It is no line of figures.
   * @throws {FileError} It cannot be written; a piece of it may be.
   */
  write(line: MetricsLine): void {
    requireLine(this.#file.path, line);
    this.#file.append(this.#encoder.encode(`${JSON.stringify(line)}\n`));
  }

  /** Waits until the lines are on the disk. */
  flush(): void {
    this.#file.sync();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

/**
 * Reads a metrics file. A last line without its end, which a killed process can leave, is left
 * out.
 *
 * @param path A file as {@linkcode JsonlSink} writes it.
 * @returns Its lines in order.
 * @throws {FileError} The file cannot be read.
 * @throws {SyntaxError} A line is not one of figures; names the file and the line.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { isValidation, JsonlSink, readMetrics } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * const path = `${folder}/metrics.jsonl`;
 * {
 *   using sink = new JsonlSink(path);
 *   for (const step of [1, 2]) sink.write({ step, valid_loss: 3 / step, valid_bits_per_byte: 4 / step });
 *   sink.flush();
 * }
 * const losses = readMetrics(path).filter(isValidation).map((line) => line.valid_loss);
 * assert(losses.join() === "3,1.5");
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function readMetrics(path: string): MetricsLine[] {
  requirePath("read figures", "path", path);
  return Array.from(metricsLines(path), ({ line }) => line);
}

/** A line of a metrics file, and where it is. */
export interface FoundLine {
  /** The figures. */
  readonly line: MetricsLine;
  /** Its number, from 1. */
  readonly number: number;
  /** The byte after its end. */
  readonly end: number;
}

/**
 * Reads a metrics file piece by piece: that of a long run with many experts may be longer than the
 * longest text. A last line without its end is left out.
 *
 * @param path A file as {@linkcode JsonlSink} writes it.
 * @returns Its lines in order.
 * @throws {FileError} The file cannot be read.
 * @throws {SyntaxError} A line is not one of figures; names the file and the line.
 */
export function* metricsLines(path: string): Generator<FoundLine> {
  using file = onPath("read", path, () => Deno.openSync(path));
  const decoder = new TextDecoder();
  let buffer = new Uint8Array(1 << 20);
  let [held, number, end] = [0, 0, 0];
  for (;;) {
    if (held === buffer.length) buffer = grown(buffer);
    const free = buffer.subarray(held);
    const read = onPath("read", path, () => file.readSync(free));
    if (read === null) return;
    const filled = buffer.subarray(0, held + read);
    let start = 0;
    for (let at = held; (at = filled.indexOf(NEWLINE, at)) >= 0; at++) {
      number++;
      end += at + 1 - start;
      const line = parseLine(decoder.decode(filled.subarray(start, at)), path, number);
      yield { line, number, end };
      start = at + 1;
    }
    buffer.copyWithin(0, start, filled.length);
    held = filled.length - start;
  }
}

/**
 * Cuts the lines of later steps off, so that a resumed run writes them anew.
 *
 * @param path A file as {@linkcode JsonlSink} writes it; a missing one is left missing.
 * @param step The last step to keep.
 * @throws {FileError} The file cannot be read or written.
 * @throws {SyntaxError} A line is not one of figures; names the file and the line.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { JsonlSink, readMetrics, truncateMetrics } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * const path = `${folder}/metrics.jsonl`;
 * {
 *   using sink = new JsonlSink(path);
 *   for (const step of [1, 2]) sink.write({ step, valid_loss: 3 / step, valid_bits_per_byte: 4 / step });
 *   sink.flush();
 * }
 * truncateMetrics(path, 1);
 * assert(readMetrics(path).length === 1);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function truncateMetrics(path: string, step: number): void {
  requirePath("drop figures", "path", path);
  requireWhole("drop figures", "step", step);
  if (!exists(path)) return;
  let kept = 0;
  for (const { line, end } of metricsLines(path)) {
    if (line.step <= step) kept = end;
  }
  onPath("write", path, () => Deno.truncateSync(path, kept));
}

const NEWLINE = 10;

function grown(buffer: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(2 * buffer.length);
  larger.set(buffer);
  return larger;
}

function parseLine(text: string, path: string, number: number): MetricsLine {
  const fail = (reason: string, cause?: unknown): never => {
    throw new SyntaxError(
      `Cannot read line ${number} of ${path}: ${reason}; remove the line, or the file`,
      { cause },
    );
  };
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch (cause) {
    return fail("it is not JSON", cause);
  }
  return isLine(line) ? line : fail("it holds no figures of a step");
}

function isLine(value: unknown): value is MetricsLine {
  return typeof value === "object" && value !== null &&
    isStep((value as { step?: unknown }).step) &&
    Object.entries(value).every(([key, figure]) => key === "stage" || isFigure(figure));
}

function isStep(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A number, what JSON has for one that is not finite, or several by index or by name. */
function isFigure(value: unknown): boolean {
  if (typeof value === "number" || value === null) return true;
  if (Array.isArray(value)) return value.every(isFigure);
  return typeof value === "object" && Object.values(value!).every(isFigure);
}

const VALIDATION: readonly (keyof ValidationMetrics)[] = ["valid_loss", "valid_bits_per_byte"];

const STEP: readonly (keyof StepMetrics)[] = [
  ...["loss", "lr", "grad_norm", "sparsity", "lambda", "l1_reg", "tokens_without_expert"] as const,
  ...["tokens", "tokens_per_second", "gflops", "gflops_executed", "ms", "memory_bytes"] as const,
];

/**
 * Refuses to write what is no line of figures, or lacks one that every step or validation has.
 *
 * @param path Where it was to be written.
 * @param line The line.
 * @throws {TypeError} If it is none; names the figure.
 */
export function requireLine(path: string, line: unknown): asserts line is MetricsLine {
  const operation = `write to ${path}`;
  if (!isLine(line)) {
    throw new TypeError(`Cannot ${operation}: line is ${shown(line)}, no figures of a step`);
  }
  const figures = line as unknown as Readonly<Record<string, unknown>>;
  for (const name of isValidation(line) ? VALIDATION : STEP) {
    requireNumber(operation, `line.${name}`, figures[name]);
  }
  if (isValidation(line)) return;
  requireOneOf(operation, "line.stage", line.stage, ["dense", "sparsifying", "sparse"]);
  requireNumbersOf(operation, "line.sparsity_per_layer", line.sparsity_per_layer);
  const { expert_load: load } = line;
  if (!Array.isArray(load)) {
    throw new TypeError(
      `Cannot ${operation}: line.expert_load is ${shown(load)}, expected shares of each layer`,
    );
  }
  for (const [layer, shares] of load.entries()) {
    requireNumbersOf(operation, `line.expert_load[${layer}]`, shares);
  }
}

function requireNumbersOf(operation: string, name: string, values: unknown): void {
  const areNumbers = Array.isArray(values) &&
    !Array.from(values).some((value) => typeof value !== "number");
  if (areNumbers) return;
  throw new TypeError(`Cannot ${operation}: ${name} is ${shown(values)}, expected numbers`);
}
