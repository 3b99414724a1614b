/** Scores requests by the logits of whole sequences. @module */

import type { Device } from "../autograd/device.ts";
import { embedding } from "../autograd/embedding.ts";
import type { LanguageModel } from "../nn/language_model.ts";
import type { Real } from "../tensor/dtype.ts";
import { unwrapped } from "../tensor/operands.ts";
import { download } from "../tensor/transfer.ts";
import type { ScoreRequest } from "./request.ts";
import { batchesBySize, type Score, type Scorer, tokensOf } from "./scorer.ts";

/**
 * Scores requests by softmax and argmax over every logit in float64, ids that pad the vocabulary
 * included. It works for every router and shares nothing; sequences are padded at their ends, which
 * a causal model does not see.
 */
export class LogitsScorer implements Scorer {
  readonly #device: Device;
  readonly #model: LanguageModel<Real>;
  readonly #batch: number;

  /**
   * Takes a model.
   *
   * @param device Its device.
   * @param model The model.
   * @param batch Tokens per batch, whose logits take memory for the whole vocabulary each.
   */
  constructor(device: Device, model: LanguageModel<Real>, batch = 1024) {
    this.#device = device;
    this.#model = model;
    this.#batch = batch;
  }

  cost(items: readonly (readonly ScoreRequest[])[]): number {
    return tokensOf(items.flat());
  }

  score(
    items: readonly (readonly ScoreRequest[])[],
    onTokens: (tokens: number) => void = () => {},
  ): Score[][] {
    const requests = items.flat();
    const scores: Score[] = Array.from(requests, () => ({ logLikelihood: 0, isGreedy: true }));
    const sizes = requests.map(({ tokens }) => tokens.length - 1);
    for (const batch of batchesBySize(sizes, this.#batch)) {
      const chosen = batch.map((i) => requests[i]!);
      this.#scoreBatch(chosen).forEach((score, i) => scores[batch[i]!] = score);
      onTokens(tokensOf(chosen));
    }
    let from = 0;
    return items.map(({ length }) => scores.slice(from, from += length));
  }

  #scoreBatch(requests: readonly ScoreRequest[]): Score[] {
    using _scope = this.#device.noGradient();
    const longest = requests[0]!.tokens.length - 1;
    const ids = new Int32Array(requests.length * longest);
    const rows: number[] = [];
    for (const [i, { tokens, scored }] of requests.entries()) {
      ids.set(tokens.subarray(0, -1), i * longest);
      const last = i * longest + tokens.length - 2;
      for (let back = scored - 1; back >= 0; back--) rows.push(last - back);
    }
    const logits = this.#model.logits(this.#device.tokens(ids), longest, { training: false });
    const chosen = download(unwrapped(embedding(logits, this.#device.tokens(rows))));
    const { vocabulary } = this.#model;
    let row = 0;
    return requests.map(({ tokens, scored }) => {
      let [logLikelihood, isGreedy] = [0, true];
      for (const target of tokens.subarray(-scored)) {
        const values = chosen.subarray(row * vocabulary, ++row * vocabulary);
        const { logProbability, greedy } = scoreOf(values, target);
        logLikelihood += logProbability;
        isGreedy &&= greedy === target;
      }
      return { logLikelihood, isGreedy };
    });
  }
}

/** The target's log-probability, and the first of the most likely tokens. */
function scoreOf(
  logits: Float32Array,
  target: number,
): { logProbability: number; greedy: number } {
  let greedy = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[greedy]!) greedy = i;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - logits[greedy]!);
  return { logProbability: logits[target]! - logits[greedy]! - Math.log(sum), greedy };
}
