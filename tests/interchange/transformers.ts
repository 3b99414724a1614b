/** What transformers computed of a fixture, and the same computed here. */
import type { Device } from "../../lib/autograd/device.ts";
import type { OpenedModel } from "../../lib/model/open_model.ts";
import { read } from "../../mod.ts";

/** The folder of the fixtures; `make_fixtures.py` writes them. */
export const FIXTURES = new URL("./fixtures", import.meta.url).pathname;

/** A fixture's `expected.json`. */
export interface Expected {
  /** Token ids. */
  readonly prompt: readonly number[];
  /** Logits after each token of the prompt. */
  readonly logits: readonly (readonly number[])[];
  /** The likeliest token, again and again. */
  readonly greedy: readonly number[];
  /** The text of those. */
  readonly text: string;
}

/** Reads a fixture's expectations. */
export function expectedOf(name: string): Expected {
  return JSON.parse(Deno.readTextFileSync(`${FIXTURES}/${name}/expected.json`));
}

/** Computes the logits after each token of a prompt, a row each. */
export async function logitsOf(
  device: Device,
  { model }: Pick<OpenedModel, "model">,
  prompt: readonly number[],
): Promise<Float32Array[]> {
  const prefixes = prompt.map((_, i) => prompt.slice(0, i + 1));
  using cache = model.openCache(prompt.length, prompt.length);
  using _scope = device.noGradient();
  const values = await read(model.prefill(prefixes, cache));
  const columns = values.length / prompt.length;
  return prompt.map((_, row) => values.slice(row * columns, (row + 1) * columns));
}

/** Continues a prompt by the likeliest token. */
export async function greedyOf(
  device: Device,
  { model }: Pick<OpenedModel, "model">,
  prompt: readonly number[],
  count: number,
): Promise<number[]> {
  using cache = model.openCache(1, prompt.length + count);
  using _scope = device.noGradient();
  const drawn: number[] = [];
  let logits = await read(model.prefill([prompt], cache));
  for (;;) {
    drawn.push(logits.indexOf(Math.max(...logits)));
    if (drawn.length === count) return drawn;
    logits = await read(model.decode([drawn.at(-1)!], cache));
  }
}

/** The largest difference of two tables of logits. */
export function largestDifference(
  a: readonly ArrayLike<number>[],
  b: readonly ArrayLike<number>[],
): number {
  if (a.length !== b.length) return Infinity;
  return Math.max(
    ...a.flatMap((row, i) => Array.from(row, (value, j) => Math.abs(value - (b[i]?.[j] ?? NaN)))),
  );
}
