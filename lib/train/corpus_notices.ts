/**
 * What a person should know of the preparation of the text.
 *
 * @module
 */

import type { CorpusEvent } from "../data/corpus.ts";

/** Between two notices: often enough to follow, seldom enough for a log. */
const INTERVAL_MS = 3000;

/**
 * Turns the events of a preparation into notices.
 *
 * @param notice Takes a notice.
 * @returns Takes an event.
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
          `Tokens of ${megabytes(event.bytes)} of ${
            megabytes(event.totalBytes)
          } MB are there from ` +
            `a preparation that was interrupted`,
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
        return notice(`Tokens kept in ${event.folder}`);
      case "cache-damaged":
        return notice(`Cached tokens are built anew: ${event.reason}`);
      case "cache-unavailable":
        return notice(`Tokens are not kept for the next time: ${event.reason}`);
    }
  };
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
