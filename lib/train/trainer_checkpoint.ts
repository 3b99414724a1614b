/** A trainer's state, to a checkpoint and back. @module */

import type { Device } from "../autograd/device.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { checkWrittenUnder, configHash } from "../checkpoint/resume.ts";
import type { CheckpointState } from "../checkpoint/state.ts";
import {
  loadModel,
  loadTensors,
  modelEntries,
  tensorEntries,
} from "../checkpoint/weight_layout.ts";
import type { CheckpointContents } from "../checkpoint/write_checkpoint.ts";
import type { TrainConfig } from "../config/config.ts";
import { DataError } from "../data/errors.ts";
import { CheckpointError } from "../errors.ts";
import { machineOf } from "../run/machine.ts";
import { versions } from "../run/versions.ts";
import { unwrapped } from "../tensor/operands.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import type { Trainer } from "./trainer.ts";

/** What a checkpoint of a trainer holds. */
export function checkpointContents(trainer: Trainer, device: Device): CheckpointContents {
  const { config, steps } = trainer;
  return {
    state: {
      format: 1,
      step: steps,
      tokens: steps * config.data.batch * config.data.sequence,
      lambda: trainer.lambda,
      ...(trainer.lambdaExcess === 0 ? {} : { lambda_excess: trainer.lambdaExcess }),
      stage: trainer.stage,
      sampler: trainer.sampler.state,
      text: trainer.textHash,
      seed: config.seed,
      config_hash: configHash(config),
      ...routerRecord(config.moe),
      machine: machineOf(device),
      versions: versions(),
      ...(trainer.init === null ? {} : { init: trainer.init }),
    },
    model: modelEntries(trainer.savedTensors(), config),
    optimizer: tensorEntries(namedMoments(trainer)),
  };
}

/**
 * Puts a trainer where a checkpoint left off.
 *
 * @param trainer A trainer of the same model and text.
 * @param checkpoint The checkpoint.
 * @throws {CheckpointError} If it does not fit the model, is beyond the last step, or holds
 * non-finite numbers.
 * @throws {DataError} If the text is another one.
 */
export function restoreCheckpoint(trainer: Trainer, checkpoint: Checkpoint): void {
  const { step, lambda, lambda_excess: excess = 0, stage, sampler } = checkpoint.state;
  const { text = trainer.textHash } = checkpoint.state;
  checkWrittenUnder("Cannot resume", checkpoint, trainer.config, "the one given");
  const { steps } = trainer.config;
  if (step > steps) {
    throw new CheckpointError(
      `Cannot resume ${checkpoint.path} to step ${steps}: it is already at step ${step}`,
    );
  }
  if (text !== trainer.textHash) {
    throw new DataError(
      `Cannot resume ${checkpoint.path} with another text: its documents have changed since; put ` +
        `them back as they were, or start a new run`,
    );
  }
  loadModel(trainer.savedTensors(), trainer.config, checkpoint.model);
  loadTensors(namedMoments(trainer), checkpoint.optimizer);
  trainer.restore(step, { lambda, excess }, stage, sampler);
  trainer.init = checkpoint.state.init ?? null;
}

/** The file a router came from, if it is not one of the library's. */
function routerRecord(
  { router, router_file }: TrainConfig["moe"],
): Pick<CheckpointState, "router"> {
  return router_file === undefined ? {} : { router: { path: router, sha256: router_file.sha256 } };
}

/** AdamW's moments, under the names PyTorch gives them. */
function* namedMoments(
  trainer: Trainer,
): Generator<{ name: string; tensor: DeviceTensor<"f32"> }> {
  for (const { parameter, first, second } of trainer.optimizer.moments()) {
    yield { name: `${parameter.name}.exp_avg`, tensor: unwrapped(first) };
    yield { name: `${parameter.name}.exp_avg_sq`, tensor: unwrapped(second) };
  }
}
