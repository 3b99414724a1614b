/**
 * Whether several runs can be compared item by item.
 *
 * @module
 */

import { ConfigError } from "../../lib/errors.ts";
import type { MeasuredDocument, TextDomains } from "../../lib/evaluate/text_loss.ts";
import { visibleName } from "../../lib/visible.ts";
import { type EvaluatedRun, labelOf, type PreparedRun } from "./prepare_runs.ts";

/**
 * Checks that no model is given twice, by whatever path.
 *
 * @param runs The runs.
 * @throws {ConfigError} If one is.
 */
export function requireDifferentModels(runs: readonly EvaluatedRun[]): void {
  const places = runs.map(({ checkpoint }) => Deno.realPathSync(checkpoint));
  const twice = places.findIndex((place, i) => places.indexOf(place) < i);
  if (twice < 0) return;
  throw new ConfigError(
    `Cannot compare ${labelOf(runs[twice]!)} with itself: it is given twice`,
  );
}

/**
 * Checks that runs are measured on the same documents: each on its own held-out text, they need not
 * be.
 *
 * @param runs The runs, the baseline first.
 * @throws {ConfigError} If one holds out different documents than the first.
 */
export function requireSameText([baseline, ...others]: readonly PreparedRun[]): void {
  for (const other of others) {
    const where = differentDomain(baseline!.text, other.text);
    if (where === undefined) continue;
    const [count, own] = [other.text, baseline!.text].map((text) => text.get(where)?.length ?? 0);
    throw new ConfigError(
      `Cannot compare ${labelOf(other)} with ${labelOf(baseline!)}: they hold out different ` +
        `documents of ${visibleName(where)} (${count}, and ${own}); give both the same with --data`,
    );
  }
}

/**
 * Tells where runs read texts and contexts in pieces of different lengths.
 *
 * @param runs The runs.
 * @param notice Receives the warning.
 */
export function warnOfReading(
  runs: readonly PreparedRun[],
  notice: (text: string) => void,
): void {
  const lengths = new Set(runs.map(({ maxLength }) => maxLength));
  if (lengths.size > 1) {
    notice(
      `The runs read at most ${[...lengths].join(", ")} tokens at a time, so some see more of a ` +
        "text than others; --max-length sets the same for all",
    );
  }
  const tokenizers = new Set(runs.map(({ run: { config: { data } } }) => data.tokenizer));
  if (tokenizers.size > 1) {
    notice(
      `The runs' tokenizers differ (${[...tokenizers].join(", ")}): as many tokens are not as ` +
        "much text, so some see more of it than others",
    );
  }
}

function differentDomain(texts: TextDomains, others: TextDomains): string | undefined {
  const names = new Set([...texts.keys(), ...others.keys()]);
  return [...names].find((name) => contents(texts.get(name)) !== contents(others.get(name)));
}

function contents(documents: readonly MeasuredDocument[] = []): string {
  return documents.map(({ sha256 }) => sha256).join();
}
