/** Runs a trained model on text and observes its routing. @module */

import type { Device } from "../autograd/device.ts";
import type { Batch } from "../data/batches/batches.ts";
import { ValidationSet } from "../data/batches/validation_set.ts";
import type { TokenStream } from "../data/corpus/token_stream.ts";
import { DataError } from "../data/errors.ts";
import type { OpenedModel } from "../model/open_model.ts";
import { routedExperts } from "../moe/layer_sizes.ts";
import { collectMasks, type HostMask } from "./host_mask.ts";
import { RoutingStatistics } from "./routing_statistics.ts";

/** Settings of {@linkcode observeRouting}. */
export interface ObserveOptions {
  /** The model's device. */
  readonly device: Device;
  /** Tokens to observe, about as many in each domain. */
  readonly tokens: number;
}

/**
 * Observes the routing of text, domain by domain, in rows spread evenly over it. Rows and batches
 * are as long as in training, since routing may depend on both.
 *
 * @param opened The model.
 * @param text The tokens of each domain.
 * @param options How much to observe.
 * @returns Which experts the tokens went to.
 * @throws {DataError} If no domain has two tokens.
 * @throws {ConfigError} If a layer does not report its routing.
 */
export function observeRouting(
  { model, config: { data, moe, model: { layers } } }: OpenedModel,
  text: ReadonlyMap<string, TokenStream>,
  { device, tokens }: ObserveOptions,
): RoutingStatistics {
  const statistics = new RoutingStatistics(layers, routedExperts(moe));
  const masksOf = ({ tokens, targets, sequence }: Batch): HostMask[] =>
    collectMasks(layers, (onRouting) => {
      using _scope = device.noGradient();
      // The loss needs less memory than the logits of all tokens would.
      model.loss(device.tokens(tokens), device.tokens(targets), sequence, {
        training: false,
        onRouting,
      });
    });
  // A row needs a token and its target.
  const domains = [...text].filter(([, { length }]) => length > 1);
  if (domains.length === 0) throw new DataError("Cannot analyze the text: it has no two tokens");
  for (const [name, stream] of domains) {
    const sequence = Math.min(data.sequence, stream.length - 1);
    const rows = Math.ceil(tokens / domains.length / sequence);
    for (const batch of new ValidationSet(stream, { sequence, batch: data.micro_batch, rows })) {
      statistics.add(name, batch.tokens, masksOf(batch));
    }
  }
  return statistics;
}
