/**
 * The metrics of a run and where they are written.
 *
 * @module
 */

import { requirePath, requireWhole } from "../arguments.ts";
import { exists, onPath, OpenFile } from "../files.ts";
import { isLine, type MetricsLine, requireLine } from "./metrics_line.ts";

/**
 * Receives the metrics of a run as they are produced.
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
   * Writes one line.
   *
   * @param line The metrics of a step or a validation, or the flips of a step.
   */
  write(line: MetricsLine): void;
  /** Makes what was written survive the end of the process and of the machine. */
  flush(): void;
}

/** Forwards metrics to several sinks, in order. */
export class MetricsSinks implements MetricsSink {
  readonly #sinks: readonly MetricsSink[];

  /**
   * Takes ownership of the sinks.
   *
   * @param sinks Where metrics go; disposed of with this one, last first.
   */
  constructor(sinks: readonly MetricsSink[]) {
    this.#sinks = sinks;
  }

  /**
   * Writes a line to each sink.
   *
   * @param line The metrics.
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
 * Appends lines of JSON to a file. Numbers that JSON lacks, such as NaN, become null.
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
   * Opens a file for appending, creating it if missing.
   *
   * @param path The file.
   * @throws {TypeError} The path is not a path.
   * @throws {FileError} It cannot be opened.
   */
  constructor(path: string) {
    requirePath("write figures", "path", path);
    this.#file = new OpenFile("write", path, { append: true, create: true });
  }

  /**
   * Appends a line and hands it to the system at once, so a killed process loses none.
   *
   * @param line The metrics.
   * @throws {TypeError} The line is not a line of metrics.
   * @throws {FileError} It cannot be written; a piece of it may be.
   */
  write(line: MetricsLine): void {
    requireLine(this.#file.path, line);
    this.#file.append(this.#encoder.encode(`${JSON.stringify(line)}\n`));
  }

  /** Waits until the lines are on disk. */
  flush(): void {
    this.#file.sync();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

/**
 * Reads a metrics file. An unterminated last line, which a killed process can leave, is skipped.
 *
 * @param path A file as {@linkcode JsonlSink} writes it.
 * @returns Its lines in order.
 * @throws {FileError} The file cannot be read.
 * @throws {SyntaxError} A line does not hold metrics; names the file and the line.
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

/** A line of a metrics file, and its position. */
export interface FoundLine {
  /** The metrics. */
  readonly line: MetricsLine;
  /** Its line number, from 1. */
  readonly number: number;
  /** The byte after its end. */
  readonly end: number;
}

/**
 * Reads a metrics file line by line: that of a long run with many experts may exceed the longest
 * string. An unterminated last line is skipped.
 *
 * @param path A file as {@linkcode JsonlSink} writes it.
 * @returns Its lines in order.
 * @throws {FileError} The file cannot be read.
 * @throws {SyntaxError} A line does not hold metrics; names the file and the line.
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
 * Checks every line of a metrics file, one at a time.
 *
 * @param path A file as {@linkcode JsonlSink} writes it.
 * @throws {FileError} The file cannot be read.
 * @throws {SyntaxError} A line does not hold metrics; names the file and the line.
 */
export function checkMetrics(path: string): void {
  const lines = metricsLines(path);
  while (!lines.next().done);
}

/**
 * Cuts off the lines of later steps, so that a resumed run writes them anew.
 *
 * @param path A file as {@linkcode JsonlSink} writes it; may be missing.
 * @param step The last step to keep.
 * @throws {FileError} The file cannot be read or written.
 * @throws {SyntaxError} A line does not hold metrics; names the file and the line.
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
