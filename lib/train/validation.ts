/**
 * A run's validation: on the same held-out text each time, domain by domain.
 *
 * @module
 */

import { bitsPerByte } from "../data/batches/bits_per_byte.ts";
import type { Batch } from "../data/batches/batches.ts";
import { DataError } from "../data/errors.ts";
import { joinStreams, type TokenStream } from "../data/corpus/token_stream.ts";
import type { CorpusSide, TokenizedText } from "../data/corpus/tokenized_text.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { ValidationSet } from "../data/batches/validation_set.ts";
import type { TrainConfig } from "../config/config.ts";
import { routerOf } from "../moe/router_of.ts";
import { segmentLength } from "../moe/segments.ts";
import type { ValidationMetrics } from "../run/metrics_line.ts";
import { CausalLoss, type SplitLoss } from "./causal_loss.ts";

/** Returns the loss of each token of a batch, in nats. */
export type TokenLoss = (batch: Batch) => Float32Array;

/** Text measured on its own: a domain, or together all those too short for a row. */
interface Part {
  /** The domain; null for the short ones. */
  readonly name: string | null;
  readonly set: ValidationSet;
  /** Share of the held-out tokens. */
  readonly share: number;
}

/** What was measured on a part. */
interface Measured {
  readonly name: string | null;
  readonly share: number;
  /** Nats per token. */
  readonly loss: number;
  /** Bytes of text per token. */
  readonly bytes: number;
  /** The loss of causally routed and other tokens; null if there are only either. */
  readonly split: SplitLoss | null;
  /** The same with the limit of Lory, whatever the router. */
  readonly bySegment: SplitLoss | null;
}

/**
 * A run's held-out batches. Every domain gets the same number of rows, so that its loss is as exact
 * as the others'; the overall loss weights domains by their tokens.
 *
 * Domains too short for a row are joined and measured as one: they count towards the overall loss,
 * but have none of their own. If even joined they fall short of a row, theirs is a shorter one.
 */
export class Validation {
  readonly #parts: readonly Part[];
  readonly #domains: number;
  readonly #tokenizer: Tokenizer;
  /** The first causally routed token of a sequence. */
  readonly #causalFrom: (sequence: number) => number;

  /**
   * Chooses the batches.
   *
   * @param config The configuration.
   * @param text The held-out text.
   * @param tokenizer The tokenizer.
   * @throws {DataError} If the text is shorter than a row and its last target.
   */
  constructor({ data, moe, validation }: TrainConfig, text: CorpusSide, tokenizer: Tokenizer) {
    const { sequence, micro_batch: batch } = data;
    const total = text.tokens.length;
    if (total <= sequence) {
      throw new DataError(
        `Cannot validate on rows of ${sequence} tokens: the validation text has ${total} of the ` +
          `${sequence + 1} that a row and its last target need; ${adviceOn(data)}`,
      );
    }
    const isLong = ({ tokens }: TokenizedText): boolean => tokens.length > sequence;
    const long = [...text.domains].filter(([, domain]) => isLong(domain));
    const short = [...text.domains].filter(([, domain]) => !isLong(domain));
    const rest = joinStreams(short.map(([, { tokens }]) => tokens));
    // A single token has nothing before it to be predicted from.
    const streams: [string | null, TokenStream][] = [
      ...long.map(([name, { tokens }]): [string, TokenStream] => [name, tokens]),
      ...(rest.length > 1 ? [[null, rest] as [null, TokenStream]] : []),
    ];
    const rows = Math.ceil(batch * validation.batches / streams.length);
    this.#parts = streams.map(([name, stream]) => {
      const length = Math.min(sequence, stream.length - 1);
      const set = new ValidationSet(stream, { sequence: length, batch, rows });
      return { name, set, share: stream.length / total };
    });
    this.#domains = text.domains.size;
    this.#tokenizer = tokenizer;
    this.#causalFrom = (sequence) => routerOf(moe).causalFrom(sequence);
  }

  /**
   * Measures the loss.
   *
   * @param step Steps taken so far.
   * @param lossOf The model's loss.
   * @returns The metrics; if there are several domains, also for each with rows of its own.
   */
  run(step: number, lossOf: TokenLoss): ValidationMetrics {
    const measured = this.#parts.map((part) => this.#measure(part, lossOf));
    const loss = measured.reduce((sum, { share, loss }) => sum + share * loss, 0);
    const bytes = measured.reduce((sum, { share, bytes }) => sum + share * bytes, 0);
    const whole = {
      ...{ step, valid_loss: loss, valid_bits_per_byte: bitsPerByte(loss, bytes) },
      ...splitMetrics(measured),
      ...laterMetrics(measured),
    };
    const named = measured.filter(({ name }) => name !== null);
    if (this.#domains === 1 || named.length === 0) return whole;
    const byDomain = (value: (domain: Measured) => number): Record<string, number> =>
      Object.fromEntries(named.map((domain) => [domain.name, value(domain)]));
    return {
      ...whole,
      valid_loss_by_domain: byDomain(({ loss }) => loss),
      valid_bits_per_byte_by_domain: byDomain(({ loss, bytes }) => bitsPerByte(loss, bytes)),
    };
  }

  #measure({ name, share, set }: Part, lossOf: TokenLoss): Measured {
    let [nats, targets, bytes] = [0, 0, 0];
    const [split, bySegment] = [new CausalLoss(), new CausalLoss()];
    for (const batch of set) {
      const losses = lossOf(batch);
      nats = losses.reduce((sum, loss) => sum + loss, nats);
      split.add(losses, batch.sequence, this.#causalFrom(batch.sequence));
      bySegment.add(losses, batch.sequence, segmentLength(batch.sequence));
      targets += batch.targets.length;
      bytes += this.#tokenizer.byteLength(batch.targets);
    }
    return {
      ...{ name, share, loss: nats / targets, bytes: bytes / targets },
      ...{ split: split.means, bySegment: bySegment.means },
    };
  }
}

function splitMetrics(
  measured: readonly Measured[],
): Pick<ValidationMetrics, "valid_loss_causal" | "valid_loss_noncausal"> {
  const means = meanSplit(measured, "split");
  if (means === null) return {};
  return { valid_loss_causal: means.causal, valid_loss_noncausal: means.noncausal };
}

function laterMetrics(measured: readonly Measured[]): Pick<ValidationMetrics, "valid_loss_later"> {
  const means = meanSplit(measured, "bySegment");
  return means === null ? {} : { valid_loss_later: means.causal };
}

/** Losses of a split, over the parts that have both kinds of token. */
function meanSplit(measured: readonly Measured[], of: "split" | "bySegment"): SplitLoss | null {
  const parts = measured.flatMap(({ share, [of]: split }) =>
    split === null ? [] : [{ share, ...split }]
  );
  if (parts.length === 0) return null;
  const total = parts.reduce((sum, { share }) => sum + share, 0);
  const meanOf = (kind: keyof SplitLoss): number =>
    parts.reduce((sum, part) => sum + part.share * part[kind], 0) / total;
  return { causal: meanOf("causal"), noncausal: meanOf("noncausal") };
}

function adviceOn({ validation_paths, validation_fraction }: TrainConfig["data"]): string {
  const more = validation_paths.length > 0
    ? "give more text in data.validation_paths"
    : `give more text, hold out more of it (data.validation_fraction is ${validation_fraction})`;
  return `${more}, take a shorter data.sequence, or set validation.every=0`;
}
