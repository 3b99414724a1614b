/**
 * Whether several runs can be compared item by item.
 *
 * @module
 */

import { ConfigError } from "../../lib/errors.ts";
import { visibleName } from "../../lib/visible.ts";
import type { PreparedRun } from "./evaluate_run.ts";

/**
 * Checks that runs are measured on the same documents: each on its own held-out text, they need not
 * be.
 *
 * @param runs The runs, the baseline first.
 * @throws {ConfigError} If one holds out other documents than the first.
 */
export function requireSameText([baseline, ...others]: readonly PreparedRun[]): void {
  for (const other of others) {
    if (contents(other) === contents(baseline!)) continue;
    throw new ConfigError(
      `Cannot compare ${other.checkpoint} with ${baseline!.checkpoint}: they hold out other ` +
        `documents (${summary(other)}, and ${summary(baseline!)}); give both the same with --data`,
    );
  }
}

/**
 * Tells where runs read texts and contexts in pieces of other lengths.
 *
 * @param runs The runs.
 * @param notice Receives the warning.
 */
export function warnOfLengths(
  runs: readonly PreparedRun[],
  notice: (text: string) => void,
): void {
  const lengths = [...new Set(runs.map(({ maxLength }) => maxLength))];
  if (lengths.length < 2) return;
  notice(
    `The runs read at most ${lengths.join(" and ")} tokens at a time, so some see more of a text ` +
      "than others; --max-length sets the same for all",
  );
}

/** The bytes of each document by domain: what two different texts do not share. */
function contents({ text }: PreparedRun): string {
  return JSON.stringify([...text].map(([name, documents]) => [
    name,
    documents.map(({ bytes }) => bytes),
  ]));
}

function summary({ text }: PreparedRun): string {
  const domains = [...text].map(([name, documents]) =>
    `${documents.length} of ${visibleName(name)}`
  );
  return domains.join(", ") || "none";
}
