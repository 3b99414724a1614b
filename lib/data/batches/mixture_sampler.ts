import { ConfigError } from "../../errors.ts";
import { checkObject, shown } from "../arguments.ts";
import { type Batch, checkSequence, countWindows, gatherBatch } from "./batches.ts";
import type { BatchSamplerOptions } from "./batch_sampler.ts";
import { Permutation } from "./permutation.ts";
import { philoxKey } from "./philox.ts";
import {
  checkStream,
  joinStreams,
  repeatStream,
  type TokenStream,
} from "../corpus/token_stream.ts";
import type { TokenizedText } from "../corpus/tokenized_text.ts";

/** The position of a {@linkcode MixtureSampler}: plain numbers, for a checkpoint's JSON. */
export interface MixtureState {
  /** The seed of the orders. */
  readonly seed: number;
  /** Windows drawn from each domain. */
  readonly drawn: Readonly<Record<string, number>>;
}

/** Options of {@linkcode MixtureSampler}. */
export interface MixtureSamplerOptions extends BatchSamplerOptions {
  /** How often a domain is drawn, as a multiple of its share of the text; 1 if not named. */
  readonly weights: Readonly<Record<string, number>>;
}

/** A domain to draw from, or several short domains of equal weight. */
interface Domain {
  /** The domain's name; the first one's if there are several. */
  readonly name: string;
  readonly stream: TokenStream;
  readonly windows: number;
  /** Its target fraction of all windows drawn. */
  readonly share: number;
  readonly seed: number;
  drawn: number;
  order: Permutation;
}

/**
 * A stream of training batches that mixes domains by weight.
 *
 * The next window comes from the domain furthest behind its share. The choice is deterministic, and
 * any stretch of the stream holds the mixture to within one window per domain. Within a domain,
 * every pass visits all windows in a different order, as in {@linkcode BatchSampler}, so the seed
 * and the number of windows drawn from each domain are the entire state.
 *
 * Domains too short for a window are joined with others of equal weight, so each is still drawn by
 * its share of the text. A result that is still too short is repeated until it fills a window.
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
   * @throws {ConfigError} If a weight names an unknown domain or is not a number of at least 0, or
   * no weight is above 0.
   * @throws {RangeError} If the sequence or the seed is out of range.
   */
  constructor(
    domains: ReadonlyMap<string, Pick<TokenizedText, "tokens">>,
    options: MixtureSamplerOptions,
  ) {
    checkObject(options, [], "mix domains");
    if (!(domains instanceof Map)) {
      throw new TypeError(`Cannot mix ${shown(domains)}: domains are a Map of texts`);
    }
    for (const text of domains.values()) {
      checkObject(text, [], "mix domains");
      checkStream(text.tokens, "mix domains");
    }
    const { sequence, seed } = options;
    const weights = checkedWeights(domains, options.weights);
    // Check both before computing with them.
    philoxKey(seed);
    checkSequence(sequence, "the domains");
    this.sequence = sequence;
    this.#seed = seed;
    const parts = packed(domains, weights, sequence);
    const total = parts.reduce((sum, { part }) => sum + part, 0);
    if (!(total < Infinity)) {
      throw new ConfigError("Cannot weigh the domains: weights are too large");
    }
    this.#domains = parts.map(({ part, index, ...domain }) => {
      const windows = countWindows(domain.stream.length, sequence, `the domain ${domain.name}`);
      // Otherwise domains of equal length would share one order.
      const own = (seed + index * 0x9e3779b9) % Number.MAX_SAFE_INTEGER;
      const order = new Permutation(windows, own, 0);
      return { ...domain, seed: own, windows, share: part / total, drawn: 0, order };
    });
  }

  /** The position in the stream, for {@linkcode MixtureSampler.restore}. */
  get state(): MixtureState {
    const drawn = Object.fromEntries(this.#domains.map(({ name, drawn }) => [name, drawn]));
    return { seed: this.#seed, drawn };
  }

  /**
   * Takes the next batch of the stream.
   *
   * @param batch Number of rows.
   * @returns The batch, [batch, sequence], in new arrays.
   * @throws {RangeError} If the number of rows is not a positive integer, or the batch is too
   * large.
   */
  next(batch: number): Batch {
    return gatherBatch(batch, this.sequence, () => {
      const domain = this.#furthestBehind();
      return { stream: domain.stream, window: nextWindow(domain) };
    });
  }

  /**
   * Moves to the position of another sampler of the same text, weights and sequence.
   *
   * @param state That sampler's state.
   * @throws {ConfigError} If its domains or its seed differ.
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
    // A checkpoint's JSON may hold anything.
    const saved = Object.entries(state?.drawn ?? {});
    const fits = saved.length === names.length && state.seed === this.#seed &&
      saved.every(([name, drawn]) =>
        names.includes(name) && Number.isSafeInteger(drawn) && drawn >= 0
      );
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

/** A part of the text that is drawn from on its own. */
interface Pack {
  readonly name: string;
  readonly stream: TokenStream;
  /** Its number of tokens times its weight. */
  readonly part: number;
  /** The index of its first domain among all domains. */
  readonly index: number;
}

/** Groups domains into parts that each have at least one window. */
function packed(
  domains: ReadonlyMap<string, Pick<TokenizedText, "tokens">>,
  weights: ReadonlyMap<string, number>,
  sequence: number,
): Pack[] {
  const members = [...domains]
    .map(([name, { tokens }], index) => ({ name, tokens, index, weight: weights.get(name) ?? 1 }))
    .filter(({ tokens, weight }) => weight > 0 && tokens.length > 0);
  const groups = Map.groupBy(
    members,
    // A long domain is a group of its own.
    ({ tokens, weight, name }) => tokens.length > sequence ? `domain ${name}` : `weight ${weight}`,
  );
  return [...groups.values()].map((group) => {
    const { name, index, weight } = group[0]!;
    const joined = joinStreams(group.map(({ tokens }) => tokens));
    const stream = joined.length > sequence ? joined : repeatStream(joined, sequence + 1);
    return { name, index, stream, part: joined.length * weight };
  });
}

function checkedWeights(
  domains: ReadonlyMap<string, unknown>,
  given: Readonly<Record<string, number>>,
): ReadonlyMap<string, number> {
  checkObject(given, [], "weigh domains");
  // A map, since a domain may be named like a property of `Object.prototype`.
  const weights = new Map(Object.entries(given));
  const unknown = [...weights.keys()].filter((name) => !domains.has(name));
  if (unknown.length > 0) {
    throw new ConfigError(
      `Cannot weigh ${unknown.join(", ")}: the text has the domains ${
        [...domains.keys()].join(", ")
      }`,
    );
  }
  for (const [name, weight] of weights) {
    if (Number.isFinite(weight) && weight >= 0) continue;
    throw new ConfigError(
      `Cannot weigh the domain ${name} by ${shown(weight)}: a weight is a number of at least 0`,
    );
  }
  if ([...domains.keys()].every((name) => weights.get(name) === 0)) {
    throw new ConfigError("Cannot train on no domain: every weight is 0");
  }
  return weights;
}
