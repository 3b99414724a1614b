/** Runs a trained model on text and observes its routing. @module */

import type { Device } from "../autograd/device.ts";
import { DataError } from "../data/errors.ts";
import { routedLayers } from "../config/layer_widths.ts";
import type { OpenedModel } from "../model/open_model.ts";
import { routedExperts } from "../moe/layer_sizes.ts";
import { collectMasks, type HostMask } from "./host_mask.ts";
import { type DomainRows, type MixedBatch, mixedBatches } from "./mixed_batches.ts";
import { RoutingStatistics } from "./routing_statistics.ts";

/**
 * Observes the routing of text. Rows and batches are as long as in training and mix the domains,
 * since routing may depend on all of that.
 *
 * @param opened The model.
 * @param device Its device.
 * @param plan The rows of each domain.
 * @returns Which experts the tokens went to.
 * @throws {DataError} If there are no rows.
 * @throws {ConfigError} If a layer does not report its routing.
 */
export function observeRouting(
  { model, config }: OpenedModel,
  device: Device,
  plan: readonly DomainRows[],
): RoutingStatistics {
  if (plan.length === 0) throw new DataError("Cannot analyze the text: it has no two tokens");
  const { data, moe } = config;
  const layers = routedLayers(config);
  const names = plan.map(({ name }) => name);
  const statistics = new RoutingStatistics(layers, routedExperts(moe), names);
  const masksOf = ({ tokens, targets, sequence }: MixedBatch): HostMask[] =>
    collectMasks(layers, (onRouting) => {
      using _scope = device.noGradient();
      // The loss needs less memory than the logits of all tokens would.
      model.loss(device.tokens(tokens), device.tokens(targets), sequence, {
        training: false,
        onRouting,
      });
    });
  for (const batch of mixedBatches(plan, data.micro_batch)) {
    const masks = masksOf(batch);
    for (const [row, name] of batch.domains.entries()) {
      const first = row * batch.sequence;
      statistics.add(name, batch.tokens.subarray(first, first + batch.sequence), masks, first);
    }
  }
  return statistics;
}
