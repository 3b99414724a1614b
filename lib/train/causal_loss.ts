/** Loss of the first tokens of each sequence, apart from that of the later ones. @module */

/** Mean losses in nats per token. */
export interface SplitLoss {
  /** Of the tokens that are routed causally. */
  readonly causal: number;
  /** Of those before them in each sequence, whose routing sees what is to be predicted. */
  readonly noncausal: number;
}

/** Sums up losses, apart for the first tokens of each sequence. */
export class CausalLoss {
  readonly #sums = { causal: 0, noncausal: 0 };
  readonly #counts = { causal: 0, noncausal: 0 };

  /**
   * Adds the losses of whole sequences.
   *
   * @param losses Nats of each token.
   * @param sequence Tokens per sequence.
   * @param from Index of a sequence's first token that is routed causally.
   */
  add(losses: Float32Array, sequence: number, from: number): void {
    for (const [i, loss] of losses.entries()) {
      const kind = i % sequence < from ? "noncausal" : "causal";
      this.#sums[kind] += loss;
      this.#counts[kind]++;
    }
  }

  /** The means; null unless there were tokens of both kinds. */
  get means(): SplitLoss | null {
    const { causal, noncausal } = this.#counts;
    if (causal === 0 || noncausal === 0) return null;
    return {
      causal: this.#sums.causal / causal,
      noncausal: this.#sums.noncausal / noncausal,
    };
  }
}
