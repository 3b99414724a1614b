/**
 * The validation of a run: the same held-out text each time, domain by domain.
 *
 * @module
 */

import { bitsPerByte } from "../data/bits_per_byte.ts";
import type { Batch } from "../data/batches.ts";
import { DataError } from "../data/errors.ts";
import type { CorpusSide } from "../data/tokenized_text.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { ValidationSet } from "../data/validation_set.ts";
import type { TrainConfig } from "./config.ts";
import type { ValidationMetrics } from "./metrics.ts";

/** Gives the loss of each token of a batch, in nats. */
export type TokenLoss = (batch: Batch) => Float32Array;

interface Domain {
  readonly name: string;
  readonly set: ValidationSet;
  /** Part of the held-out tokens. */
  readonly share: number;
}

/** What was measured on a domain. */
interface Measured {
  readonly name: string;
  readonly share: number;
  /** Nats a token. */
  readonly loss: number;
  /** Bytes of text a token. */
  readonly bytes: number;
}

/**
 * The held-out batches of a run. Every domain gets the same number of rows, since its own loss
 * should be as exact as that of the others; the loss of the whole weighs domains by their tokens.
 */
export class Validation {
  readonly #domains: readonly Domain[];
  readonly #tokenizer: Tokenizer;

  /**
   * Chooses the batches.
   *
   * @param config The configuration.
   * @param text The text held back; domains shorter than a row are left out.
   * @param tokenizer The tokenizer.
   * @throws {DataError} If no domain is as long as a row and its last target.
   */
  constructor({ data, validation }: TrainConfig, text: CorpusSide, tokenizer: Tokenizer) {
    const { sequence, micro_batch: batch } = data;
    const long = [...text.domains].filter(([, { tokens }]) => tokens.length > sequence);
    if (long.length === 0) {
      throw new DataError(
        `Cannot validate on rows of ${sequence} tokens: no domain of the validation text has ` +
          `${sequence + 1}; ${adviceOn(data)}`,
      );
    }
    const rows = Math.ceil(batch * validation.batches / long.length);
    const total = long.reduce((sum, [, { tokens }]) => sum + tokens.length, 0);
    this.#domains = long.map(([name, { tokens }]) => ({
      name,
      set: new ValidationSet(tokens, { sequence, batch, rows }),
      share: tokens.length / total,
    }));
    this.#tokenizer = tokenizer;
  }

  /**
   * Measures the loss.
   *
   * @param step Steps taken before.
   * @param lossOf The model.
   * @returns The figures, those of each domain where there are several.
   */
  run(step: number, lossOf: TokenLoss): ValidationMetrics {
    const measured = this.#domains.map((domain) => this.#measure(domain, lossOf));
    const loss = measured.reduce((sum, { share, loss }) => sum + share * loss, 0);
    const bytes = measured.reduce((sum, { share, bytes }) => sum + share * bytes, 0);
    const whole = { step, valid_loss: loss, valid_bits_per_byte: bitsPerByte(loss, bytes) };
    if (measured.length === 1) return whole;
    const byDomain = (value: (domain: Measured) => number): Record<string, number> =>
      Object.fromEntries(measured.map((domain) => [domain.name, value(domain)]));
    return {
      ...whole,
      valid_loss_by_domain: byDomain(({ loss }) => loss),
      valid_bits_per_byte_by_domain: byDomain(({ loss, bytes }) => bitsPerByte(loss, bytes)),
    };
  }

  #measure({ name, share, set }: Domain, lossOf: TokenLoss): Measured {
    let [nats, targets, bytes] = [0, 0, 0];
    for (const batch of set) {
      nats = lossOf(batch).reduce((sum, loss) => sum + loss, nats);
      targets += batch.targets.length;
      bytes += this.#tokenizer.byteLength(batch.targets);
    }
    return { name, share, loss: nats / targets, bytes: bytes / targets };
  }
}

function adviceOn({ validation_paths, validation_fraction }: TrainConfig["data"]): string {
  const more = validation_paths.length > 0
    ? "give more text in data.validation_paths"
    : `give more text, hold out more of it (data.validation_fraction is ${validation_fraction})`;
  return `${more}, take a shorter data.sequence, or set validation.every=0`;
}
