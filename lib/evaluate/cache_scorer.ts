/** Scores requests with a key-value cache, in which the continuations of a context share it. @module */

import type { Device } from "../autograd/device.ts";
import { largest } from "../extremes.ts";
import type { LanguageModel } from "../nn/language_model.ts";
import type { Real } from "../tensor/dtype.ts";
import { unwrapped } from "../tensor/operands.ts";
import { download } from "../tensor/transfer.ts";
import type { ScoreRequest } from "./request.ts";
import { batchesBySize, type Score, type Scorer } from "./scorer.ts";

/** The requests of an item. */
interface Group {
  readonly requests: readonly ScoreRequest[];
  /** First tokens that all of them share and none of them scores; 0 for a single request. */
  readonly shared: number;
  /** Tokens that the model reads. */
  readonly cost: number;
  /** Tokens of the longest, as far as they are read. */
  readonly longest: number;
}

/**
 * Scores the requests of an item after one pass over what they share, without padding and without
 * holding logits. For models whose routers see no later token.
 */
export class CacheScorer implements Scorer {
  readonly #device: Device;
  readonly #model: LanguageModel<Real>;
  readonly #batch: number;

  /**
   * Takes a model.
   *
   * @param device Its device.
   * @param model The model.
   * @param batch Tokens per batch.
   */
  constructor(device: Device, model: LanguageModel<Real>, batch = 2048) {
    this.#device = device;
    this.#model = model;
    this.#batch = batch;
  }

  cost(items: readonly (readonly ScoreRequest[])[]): number {
    return items.reduce((sum, requests) => sum + groupOf(requests).cost, 0);
  }

  score(
    items: readonly (readonly ScoreRequest[])[],
    onTokens: (tokens: number) => void = () => {},
  ): Score[][] {
    const groups = items.map(groupOf);
    const scores: Score[][] = items.map(() => []);
    const sizes = groups.map(({ longest }) => longest);
    for (const batch of batchesBySize(sizes, this.#batch, groups.map(({ cost }) => cost))) {
      const chosen = batch.map((i) => groups[i]!);
      this.#scoreBatch(chosen).forEach((each, i) => scores[batch[i]!] = each);
      onTokens(chosen.reduce((sum, { cost }) => sum + cost, 0));
    }
    return scores;
  }

  #scoreBatch(groups: readonly Group[]): Score[][] {
    const members = groups.flatMap(({ requests, shared }) =>
      requests.map((request) => ({ request, shared }))
    );
    const capacity = largest(groups.map(({ longest }) => longest));
    using cache = this.#model.openCache(members.length, capacity);
    using _scope = this.#device.noGradient();
    const from: number[] = [], to: number[] = [], prefixes: number[][] = [], first: number[] = [];
    let row = 0;
    for (const { requests, shared } of groups) {
      if (shared > 0) {
        first.push(row);
        prefixes.push([...requests[0]!.tokens.subarray(0, shared)]);
        for (let i = 1; i < requests.length; i++) {
          from.push(row);
          to.push(row + i);
        }
      }
      row += requests.length;
    }
    if (prefixes.length > 0) {
      // Nothing follows that is to be scored: the keys and values are what is wanted.
      this.#model.scoreExtension(prefixes, prefixes.map(unscored), cache, first);
      cache.copyRows(from, to);
    }
    const { logProbability, greedy } = this.#model.scoreExtension(
      members.map(({ request: { tokens }, shared }) => [...tokens.subarray(shared, -1)]),
      members.map(({ request, shared }) => targetsOf(request, shared)),
      cache,
    );
    const values = download(unwrapped(logProbability)), best = download(unwrapped(greedy));
    let end = 0;
    const scores = members.map(({ request: { tokens, scored }, shared }): Score => {
      end += tokens.length - 1 - shared;
      let [logLikelihood, isGreedy] = [0, true];
      for (const [i, target] of tokens.subarray(-scored).entries()) {
        logLikelihood += values[end - scored + i]!;
        isGreedy &&= best[end - scored + i] === target;
      }
      return { logLikelihood, isGreedy };
    });
    let taken = 0;
    return groups.map(({ requests }) => scores.slice(taken, taken += requests.length));
  }
}

function groupOf(requests: readonly ScoreRequest[]): Group {
  const lengths = requests.map(({ tokens }) => tokens.length - 1);
  const shared = requests.length < 2 ? 0 : sharedTokens(requests);
  return {
    ...{ requests, shared },
    cost: shared + lengths.reduce((sum, length) => sum + length - shared, 0),
    longest: largest(lengths),
  };
}

/** The tokens that all requests begin with, up to the one before the first that any scores. */
function sharedTokens(requests: readonly ScoreRequest[]): number {
  const [{ tokens: first }] = requests as [ScoreRequest];
  const most = Math.min(...requests.map(({ tokens, scored }) => tokens.length - scored - 1));
  for (let i = 0; i < most; i++) {
    if (requests.some(({ tokens }) => tokens[i] !== first[i])) return i;
  }
  return most;
}

function unscored(tokens: readonly number[]): number[] {
  return new Array(tokens.length).fill(-1);
}

/** What follows each token read, from the first that is not shared; -1 where it is not scored. */
function targetsOf({ tokens, scored }: ScoreRequest, shared: number): number[] {
  const unwanted = tokens.length - scored;
  return Array.from(
    tokens.subarray(shared + 1),
    (target, i) => shared + 1 + i < unwanted ? -1 : target,
  );
}
