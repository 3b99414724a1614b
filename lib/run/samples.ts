/**
 * `samples.txt`: texts the model generated during training.
 *
 * @module
 */

import { requireObject, requireText, requireWhole } from "../arguments.ts";
import { exists, onPath, writeAtomically } from "../files.ts";

/** A text sampled from the model. */
export interface Sample {
  /** Steps taken before it. */
  readonly step: number;
  /** The text to continue; empty for the start of a document. */
  readonly prompt: string;
  /** The prompt and its continuation. */
  readonly text: string;
}

const HEADING = /^=== step (\d+) ===$/;

/**
 * Refuses to write a value that is not a sample.
 *
 * @param path The file it was to be written to.
 * @param sample The sample.
 * @throws {TypeError} If a field has the wrong type.
 * @throws {RangeError} If its step is not a step.
 */
export function requireSample(path: string, sample: unknown): asserts sample is Sample {
  const operation = `write to ${path}`;
  requireObject(operation, "sample", sample);
  const { step, prompt, text } = sample as Partial<Sample>;
  requireWhole(operation, "sample.step", step);
  requireText(operation, "sample.prompt", prompt);
  requireText(operation, "sample.text", text);
}

/**
 * Appends a sample under a heading with its step.
 *
 * @param path The file; created if missing.
 * @param sample The sample. A line that looks like a heading is indented by a space.
 */
export function appendSample(path: string, sample: Sample): void {
  requireSample(path, sample);
  const { step, text } = sample;
  const body = text.split("\n").map((line) => HEADING.test(line) ? ` ${line}` : line).join("\n");
  onPath("write", path, () => {
    Deno.writeTextFileSync(path, `=== step ${step} ===\n${body}\n\n`, { append: true });
  });
}

/**
 * Drops the samples of later steps, so that a resumed run generates them anew.
 *
 * @param path A file as {@linkcode appendSample} writes it; may be missing.
 * @param step The last step to keep.
 */
export function truncateSamples(path: string, step: number): void {
  if (!exists(path)) return;
  const lines = onPath("read", path, () => Deno.readTextFileSync(path)).split("\n");
  const end = lines.findIndex((line) => Number(HEADING.exec(line)?.[1] ?? -1) > step);
  if (end >= 0) writeAtomically(path, lines.slice(0, end).map((line) => `${line}\n`).join(""));
}
