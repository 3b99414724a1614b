/**
 * Notices about the preparation of the text.
 *
 * @module
 */

import type { CorpusEvent } from "../data/corpus/options.ts";
import type { PassedOver } from "../data/text/document.ts";
import type { Corpus, CorpusSide } from "../data/corpus/tokenized_text.ts";
import { listed } from "../visible.ts";
import type { TrainConfig } from "../config/config.ts";

/** Time between two notices: frequent enough to follow, rare enough for a log. */
const INTERVAL_MS = 3000;

/**
 * Turns the events of a preparation into notices.
 *
 * @param notice Called with each notice.
 * @returns A listener for the events.
 */
export function corpusNotices(notice: (text: string) => void): (event: CorpusEvent) => void {
  const started = performance.now();
  let [last, skipped] = [started, 0];
  const rate = (bytes: number): string => {
    const seconds = (performance.now() - started) / 1000;
    return `${megabytes((bytes - skipped) / seconds)} MB/s`;
  };
  return (event) => {
    switch (event.kind) {
      case "continued":
        skipped = event.bytes;
        return notice(
          `Resuming an interrupted preparation: ${megabytes(event.bytes)} of ` +
            `${megabytes(event.totalBytes)} MB are already tokenized`,
        );
      case "tokenizing": {
        const { bytes, totalBytes } = event;
        const isLast = bytes === totalBytes;
        if (!isLast && performance.now() - last < INTERVAL_MS) return;
        last = performance.now();
        return notice(
          isLast
            ? `Tokenized ${megabytes(totalBytes)} MB, ${rate(bytes)}`
            : `Tokenizing: ${megabytes(bytes)} of ${megabytes(totalBytes)} MB, ${rate(bytes)}`,
        );
      }
      case "cache-loaded":
        return notice(`Tokens read from ${event.folder}`);
      case "cache-saved":
        return notice(`Tokens cached in ${event.folder}`);
      case "cache-damaged":
        return notice(`Rebuilding the token cache: ${event.reason}`);
      case "cache-unavailable":
        return notice(`Tokens are not cached: ${event.reason}`);
      case "passed-over":
        return passedOver(event.found, notice);
      case "shared-documents":
        return notice(
          `${event.shared} of the ${event.documents} validation documents are also in the ` +
            `training text: the validation loss will look better than it is`,
        );
    }
  };
}

/**
 * Says which domains are too short to be treated like the others.
 *
 * @param corpus The text.
 * @param data The length of a row, and the domains' weights.
 * @returns The notices.
 */
export function domainNotices(
  { train, validation, validationFraction }: Corpus,
  { sequence, weights }: Pick<TrainConfig["data"], "sequence" | "weights">,
): string[] {
  const notices: string[] = [];
  const say = (names: readonly string[], what: string): void => {
    if (names.length > 0) notices.push(`${what} (${names.length}): ${listed(names)}`);
  };
  if (train.domains.size > 1) {
    const isWeighted = Object.keys(weights).length > 0;
    if (isWeighted) {
      say(shortOf(train, sequence), "Domains shorter than a row, drawn together by weight");
    }
    say(
      shortOf(validation, sequence),
      "Domains with less than a row of validation text, so no loss of their own",
    );
  }
  if (validationFraction !== null) {
    const absent = [...train.domains.keys()].filter((name) => !validation.domains.has(name));
    say(absent, "Domains without a validation document");
  }
  return notices;
}

function shortOf({ domains }: CorpusSide, sequence: number): string[] {
  return [...domains].filter(([, { tokens }]) => tokens.length <= sequence).map(([name]) => name);
}

function passedOver(found: readonly PassedOver[], notice: (text: string) => void): void {
  const files = found.filter(({ kind }) => kind === "file");
  if (files.length > 0) {
    const names = listed(files.map(({ path, reason }) => `${path} (${reason})`));
    const count = files.length === 1 ? "1 file" : `${files.length} files`;
    notice(`Skipped ${count} without text: ${names}`);
  }
  const cut = found.filter(({ kind }) => kind === "trailing-bytes").map(({ path }) => path);
  if (cut.length > 0) notice(`Ignored what follows the gzip data of ${listed(cut)}`);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
