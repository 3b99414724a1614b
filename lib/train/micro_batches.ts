/** The forward and backward passes of an optimizer step. @module */

import { type Device, memoryOf } from "../autograd/device.ts";
import { Tape } from "../autograd/tape.ts";
import type { TrainConfig } from "../config/config.ts";
import type { BuiltModel } from "../model/build_model.ts";
import { routerOf } from "../moe/router_of.ts";
import { unwrapped } from "../tensor/operands.ts";
import type { OperationObserver } from "../tensor/recorder.ts";
import { download } from "../tensor/transfer.ts";
import { CausalLoss } from "./causal_loss.ts";
import { drawingAt } from "./draws.ts";
import type { StepProfile } from "./profile.ts";
import type { Sampler } from "./sampler.ts";

/** What the passes of a step work with. */
export interface StepPasses {
  readonly config: TrainConfig;
  readonly device: Device;
  readonly built: BuiltModel;
  /** Yields the micro-batches. */
  readonly sampler: Sampler;
  /** Steps taken so far. */
  readonly steps: number;
  /** The most bytes of logits that are kept for their gradient. */
  readonly logitBytes: number;
  /** Times the phases. */
  readonly profile: StepProfile | null;
  /** Sees every operation. */
  readonly observer: OperationObserver | null;
}

/**
 * Runs a step's micro-batches forward and backward, accumulating gradients and the loss.
 *
 * @param passes Model, micro-batches, step.
 * @returns The losses, apart by causality of the routing.
 */
export function runMicroBatches(passes: StepPasses): CausalLoss {
  const { device, config: { seed }, steps, logitBytes } = passes;
  const run = () => drawingAt(device, { seed, steps, draws: 0 }, () => runAll(passes));
  return memoryOf(device).keepingLogits(logitBytes, run);
}

function runAll(
  { config, device, built: { model, state }, sampler, steps, profile, observer }: StepPasses,
): CausalLoss {
  const { data, moe } = config;
  const count = data.batch / data.micro_batch;
  const scale = 1 / count;
  const causalFrom = routerOf(moe).causalFrom(data.sequence);
  const split = new CausalLoss();
  for (let i = 0; i < count; i++) {
    profile?.enter("data");
    const batch = sampler.next(data.micro_batch);
    using tape = Tape.open(memoryOf(device), observer);
    const tokens = device.tokens(batch.tokens);
    const targets = device.tokens(batch.targets);
    profile?.enter("forward");
    const { loss, tokenLoss } = model.loss(tokens, targets, batch.sequence, { step: steps });
    state.addLoss(loss, scale);
    // Waits for the device, so only where there is something to tell apart.
    if (causalFrom > 0) split.add(download(unwrapped(tokenLoss)), batch.sequence, causalFrom);
    profile?.enter("backward");
    tape.backward(loss, { scale });
  }
  return split;
}
