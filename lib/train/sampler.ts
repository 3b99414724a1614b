/** The source of a run's training batches. @module */

import type { TrainConfig } from "../config/config.ts";
import { BatchSampler, type SamplerState } from "../data/batches/batch_sampler.ts";
import { MixtureSampler, type MixtureState } from "../data/batches/mixture_sampler.ts";
import type { Corpus } from "../data/corpus/tokenized_text.ts";

/** Draws batches from one stream over the whole text, or from a weighted mixture of its domains. */
export type Sampler = BatchSampler | MixtureSampler;

/** A {@linkcode Sampler}'s position in the text. */
export type SamplerPosition = SamplerState | MixtureState;

/** The sampler of a run; a mixture if the configuration weights domains. */
export function createSampler({ data, seed }: TrainConfig, { train }: Corpus): Sampler {
  const { sequence, weights } = data;
  return Object.keys(weights).length === 0
    ? new BatchSampler(train.tokens, { sequence, seed })
    : new MixtureSampler(train.domains, { sequence, seed, weights });
}

/** Moves a sampler to a position, which the sampler checks. */
export function seek(sampler: Sampler, position: unknown): void {
  if (sampler instanceof MixtureSampler) sampler.restore(position as MixtureState);
  else sampler.restore(position as SamplerState);
}
