/** Batches of text to analyze, in which domains are mixed as in training. @module */

import { type Batch, gatherBatch } from "../data/batches/batches.ts";
import type { TokenStream } from "../data/corpus/token_stream.ts";
import { drawnWindow } from "./even_sample.ts";

/** The rows to observe of a domain. */
export interface DomainRows {
  /** The domain. */
  readonly name: string;
  /** Its tokens. */
  readonly stream: TokenStream;
  /** Tokens in a row. */
  readonly sequence: number;
  /** Rows to observe. */
  readonly rows: number;
  /** Tokens in all rows. */
  readonly tokens: number;
  /** Whether the domain has fewer tokens than its equal share. */
  readonly isShort: boolean;
}

/** A batch and the domain of each of its rows. */
export interface MixedBatch extends Batch {
  /** As many names as rows. */
  readonly domains: readonly string[];
}

/**
 * Divides tokens equally among domains.
 *
 * @param text The tokens of each domain.
 * @param tokens Tokens to observe.
 * @param longest Most tokens in a row.
 * @returns The rows of each domain that has two tokens: whole rows, or a shorter one if there is
 * none.
 */
export function planRows(
  text: ReadonlyMap<string, TokenStream>,
  tokens: number,
  longest: number,
): DomainRows[] {
  // A row needs a token and its target.
  const domains = [...text].filter(([, { length }]) => length > 1);
  return domains.map(([name, stream]) => {
    const sequence = Math.min(longest, stream.length - 1);
    const share = tokens / domains.length;
    const wanted = Math.ceil(share / sequence);
    const rows = Math.min(wanted, windowsOf(stream, sequence));
    return { name, stream, sequence, rows, tokens: rows * sequence, isShort: rows < wanted };
  });
}

/**
 * Reads rows spread over each domain. A batch holds rows of all domains in proportion to their
 * number, since some routers choose among the tokens of a batch.
 *
 * @param plan The rows.
 * @param size Rows in a batch; the last one of a length may have fewer.
 * @returns The batches; rows of different lengths are in different ones.
 */
export function* mixedBatches(plan: readonly DomainRows[], size: number): Generator<MixedBatch> {
  for (const group of Map.groupBy(plan, ({ sequence }) => sequence).values()) {
    const order = mixed(group);
    for (let first = 0; first < order.length; first += size) {
      const part = order.slice(first, first + size);
      const next = part.values();
      const batch = gatherBatch(part.length, group[0]!.sequence, () => {
        const { domain: { stream, rows, sequence }, row } = next.next().value!;
        return { stream, window: drawnWindow(row, rows, windowsOf(stream, sequence)) };
      });
      yield { ...batch, domains: part.map(({ domain }) => domain.name) };
    }
  }
}

/** The rows of all domains, each spread evenly over the whole. */
function mixed(domains: readonly DomainRows[]): { domain: DomainRows; row: number }[] {
  return domains
    .flatMap((domain) => Array.from({ length: domain.rows }, (_, row) => ({ domain, row })))
    .map((each) => ({ ...each, place: (each.row + 0.5) / each.domain.rows }))
    .sort((a, b) => a.place - b.place);
}

function windowsOf({ length }: TokenStream, sequence: number): number {
  return Math.floor((length - 1) / sequence);
}
