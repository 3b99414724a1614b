import { ConfigError } from "../errors.ts";
import { type Batch, countWindows, gatherBatch } from "./batches.ts";
import type { BatchSamplerOptions } from "./batch_sampler.ts";
import { Permutation } from "./permutation.ts";
import type { TokenStream } from "./token_stream.ts";
import type { TokenizedText } from "./tokenized_text.ts";

/** Where a {@linkcode MixtureSampler} is: plain numbers, for a checkpoint's JSON. */
export interface MixtureState {
  /** The seed of the orders. */
  readonly seed: number;
  /** Windows drawn from each domain. */
  readonly drawn: Readonly<Record<string, number>>;
}

/** What a {@linkcode MixtureSampler} needs besides tokens. */
export interface MixtureSamplerOptions extends BatchSamplerOptions {
  /** How often a domain is drawn, as a multiple of its share of the text; 1 where not named. */
  readonly weights: Readonly<Record<string, number>>;
}

/** A domain as it is drawn from. */
interface Domain {
  readonly name: string;
  readonly stream: TokenStream;
  readonly windows: number;
  /** Its part of all windows drawn. */
  readonly share: number;
  readonly seed: number;
  drawn: number;
  order: Permutation;
}

/**
 * A stream of training batches that mixes domains by weight.
 *
 * The next window comes from the domain that is furthest behind its share, so that any stretch of
 * the stream holds the mixture to within a window a domain, without any chance. Within a domain, every
 * pass goes through all windows in an order of its own, as in {@linkcode BatchSampler}: the seed and
 * the number of windows drawn from each domain are the whole state.
 *
 * @example
 * ```ts
 * import { MixtureSampler, openTokenizer, prepareCorpus } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const source = {
 *   name: "two domains",
 *   async *documents() {
 *     for (const [domain, text] of [["a", "An a. "], ["b", "A bee. "]] as const) {
 *       yield { id: domain, domain, text: text.repeat(200) };
 *     }
 *   },
 * };
 * const tokenizer = await openTokenizer("byte");
 * const corpus = await prepareCorpus(source, tokenizer, { validation: source, cacheFolder: false });
 * const sampler = new MixtureSampler(corpus.train.domains, {
 *   sequence: 16,
 *   seed: 1,
 *   weights: { b: 0 },
 * });
 * const { tokens } = sampler.next(8);
 * assertEquals(tokenizer.decode(tokens).includes("bee"), false);
 * ```
 */
export class MixtureSampler {
  /** Tokens in a row. */
  readonly sequence: number;
  readonly #seed: number;
  #domains: readonly Domain[];

  /**
   * Begins with the first pass over each domain.
   *
   * @param domains The text of each domain.
   * @param options The length of a row, the seed, and the weights.
   * @throws {ConfigError} If a weight is of a domain that is not there, or none is above 0.
   * @throws {DataError} If a domain to be drawn from is shorter than a row and its last target.
   */
  constructor(
    domains: ReadonlyMap<string, Pick<TokenizedText, "tokens">>,
    options: MixtureSamplerOptions,
  ) {
    const { sequence, seed, weights } = options;
    checkWeights(domains, weights);
    this.sequence = sequence;
    this.#seed = seed;
    const parts = [...domains].map(([name, { tokens }], i) => ({
      name,
      stream: tokens,
      part: tokens.length * (weights[name] ?? 1),
      // Domains of one length would otherwise be gone through in one order.
      seed: (seed + i * 0x9e3779b9) % Number.MAX_SAFE_INTEGER,
    })).filter(({ part }) => part > 0);
    const total = parts.reduce((sum, { part }) => sum + part, 0);
    this.#domains = parts.map(({ part, ...domain }) => {
      const windows = countWindows(domain.stream.length, sequence, `the domain ${domain.name}`);
      const order = new Permutation(windows, domain.seed, 0);
      return { ...domain, windows, share: part / total, drawn: 0, order };
    });
  }

  /** Where the stream is, for {@linkcode MixtureSampler.restore}. */
  get state(): MixtureState {
    const drawn = Object.fromEntries(this.#domains.map(({ name, drawn }) => [name, drawn]));
    return { seed: this.#seed, drawn };
  }

  /**
   * Takes the next batch of the stream.
   *
   * @param batch Number of rows.
   * @returns The batch, [batch, sequence], in arrays of its own.
   * @throws {RangeError} If the number of rows is not a positive integer.
   */
  next(batch: number): Batch {
    if (!Number.isInteger(batch) || batch < 1) {
      throw new RangeError(`Cannot take a batch of ${batch} rows: there must be at least one`);
    }
    const rows = Array.from({ length: batch }, () => {
      const domain = this.#furthestBehind();
      return gatherBatch(domain.stream, this.sequence, [nextWindow(domain)]);
    });
    const tokens = new Int32Array(batch * this.sequence);
    const targets = new Int32Array(batch * this.sequence);
    for (const [row, each] of rows.entries()) {
      tokens.set(each.tokens, row * this.sequence);
      targets.set(each.targets, row * this.sequence);
    }
    return { rows: batch, sequence: this.sequence, tokens, targets };
  }

  /**
   * Goes to where another sampler of the same text, weights and sequence was.
   *
   * @param state That sampler's state.
   * @throws {ConfigError} If it was of other domains.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { memoryStream, MixtureSampler } from "@remoe/remoe/data";
   *
   * const tokens = memoryStream(Uint16Array.from({ length: 100 }, (_, i) => i));
   * const open = () =>
   *   new MixtureSampler(new Map([["a", { tokens }]]), { sequence: 4, seed: 1, weights: {} });
   * const first = open(), second = open();
   * first.next(3);
   * second.restore(first.state);
   * assert(second.next(2).tokens.join() === first.next(2).tokens.join());
   * ```
   */
  restore(state: MixtureState): void {
    const names = this.#domains.map(({ name }) => name);
    const saved = Object.entries(state?.drawn ?? {});
    const fits = saved.length === names.length && state.seed === this.#seed &&
      saved.every(([name, drawn]) => names.includes(name) && Number.isInteger(drawn) && drawn >= 0);
    if (!fits) {
      throw new ConfigError(
        `Cannot resume the mixture of ${names.join(", ")}: the checkpoint's is of ` +
          `${saved.map(([name]) => name).join(", ") || "no domains"}, or of another seed`,
      );
    }
    this.#domains = this.#domains.map((domain) => {
      const drawn = state.drawn[domain.name]!;
      const epoch = Math.floor(drawn / domain.windows);
      return { ...domain, drawn, order: new Permutation(domain.windows, domain.seed, epoch) };
    });
  }

  #furthestBehind(): Domain {
    const total = this.#domains.reduce((sum, { drawn }) => sum + drawn, 0) + 1;
    return this.#domains.reduce((behind, domain) =>
      domain.share * total - domain.drawn > behind.share * total - behind.drawn ? domain : behind
    );
  }
}

function nextWindow(domain: Domain): number {
  const position = domain.drawn % domain.windows;
  if (position === 0) {
    const epoch = domain.drawn / domain.windows;
    domain.order = new Permutation(domain.windows, domain.seed, epoch);
  }
  domain.drawn++;
  return domain.order.at(position);
}

function checkWeights(
  domains: ReadonlyMap<string, unknown>,
  weights: Readonly<Record<string, number>>,
): void {
  const unknown = Object.keys(weights).filter((name) => !domains.has(name));
  if (unknown.length > 0) {
    throw new ConfigError(
      `Cannot weigh ${unknown.join(", ")}: the text has the domains ${
        [...domains.keys()].join(", ")
      }`,
    );
  }
  if ([...domains.keys()].every((name) => weights[name] === 0)) {
    throw new ConfigError("Cannot train on no domain: every weight is 0");
  }
}
