/**
 * What `train` prints at its start and at its end.
 *
 * @module
 */

import { relative } from "node:path";
import { choosesExperts, routerLabel, routerOf } from "../../lib/moe/router_of.ts";
import { visibleName } from "../../lib/visible.ts";
import type { DeviceInfo } from "../../lib/autograd/device_options.ts";
import { targetSparsity } from "../../lib/autograd/lambda_rule.ts";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import type { ValidationMetrics } from "../../lib/run/metrics_line.ts";
import type { StageState } from "../../lib/checkpoint/stage.ts";
import type { TrainSummary } from "../../lib/train/train_options.ts";
import { computeTypeLine } from "./compute_type.ts";
import { runSize } from "./dry_run.ts";
import {
  formatBytes,
  formatCount,
  formatLambda,
  formatSeconds,
  formatUnits,
  printable,
} from "../shared/format.ts";
import { routedSizes } from "../../lib/moe/layer_sizes.ts";

/**
 * Describes a run at its start.
 *
 * @param config Its configuration, as given.
 * @param device The device it trains on.
 * @param directory The run directory.
 * @param checkpoint The checkpoint it resumes from; null: a new run.
 * @returns A few lines.
 */
export function startReport(
  config: TrainConfig,
  device: DeviceInfo,
  directory: string,
  checkpoint: Pick<Checkpoint, "path" | "state"> | null,
): string {
  const { preset, moe, seed } = config;
  const { name, isa, threads, gemm } = device;
  const isOther = device.backend === "cpu" && config.threads > 0 && config.threads !== threads;
  const router = routerOf(moe);
  const experts = router.merges
    ? `${moe.experts} experts merged into one`
    : router.routed
    ? `${moe.active} of ${moe.experts} experts` +
      (moe.granularity > 1 ? `, each in ${moe.granularity} parts` : "")
    : "one expert";
  return [
    `Model       ${preset}, router ${routerLabel(moe.router)}, ${experts}, seed ${seed}`,
    ...runSize(config),
    computeTypeLine(config, device),
    `Device      ${name}, ${isa}, ${formatUnits(device)}, ${gemm}` +
    (isOther ? `; ${config.threads} requested` : ""),
    `Directory   ${directory}`,
    ...(checkpoint === null ? [] : [resumeLine(config, checkpoint)]),
  ].join("\n");
}

function resumeLine(
  { steps }: TrainConfig,
  { path, state: { step } }: Pick<Checkpoint, "path" | "state">,
): string {
  const left = step < steps
    ? `${steps - step} of ${steps} steps to go`
    : `all ${steps} steps are taken; raise --steps to continue`;
  return `Resumes     at step ${step}, from ${path}; ${left}`;
}

/**
 * Describes a validation.
 *
 * @param metrics Its figures.
 * @returns A line, and one more per domain if there are several.
 */
export function validationLine(metrics: ValidationMetrics): string {
  return [
    `step ${metrics.step}  validation ${validationFigures(metrics)}`,
    ...Object.entries(metrics.valid_loss_by_domain ?? {}).map(([domain, loss]) => {
      const bits = metrics.valid_bits_per_byte_by_domain?.[domain] ?? NaN;
      return `  ${visibleName(domain).padEnd(16)} ${loss.toFixed(4)} nats per token, ${
        bits.toFixed(4)
      } bits per byte`;
    }),
  ].join("\n");
}

/**
 * Describes a run at its end.
 *
 * @param config Its configuration.
 * @param summary Its final figures.
 * @param directory The run directory.
 * @param base The folder the command was called in; the advice on resuming is relative to it.
 * @returns The last sample and the figures.
 */
export function finalReport(
  config: TrainConfig,
  summary: TrainSummary,
  directory: string,
  base: string,
): string {
  const { sample, last, validation, interrupted, step } = summary;
  const fromBase = relative(base, directory);
  const path = fromBase.startsWith("..") ? directory : fromBase || ".";
  return [
    ...(sample === null
      ? []
      : [`Sample at step ${sample.step}:\n\n${printable(sample.text.trim())}\n`]),
    interrupted
      ? `Stopped at step ${step} of ${config.steps}; continue with --resume ${path}`
      : `Finished ${step} steps`,
    ...(last === null ? [] : [
      `Loss        ${last.loss.toFixed(4)} nats per token${
        causalText(last.loss_causal, last.loss_noncausal)
      }`,
    ]),
    ...(validation === null ? [] : [`Validation  ${validationFigures(validation)}`]),
    ...(last === null || !choosesExperts(routerOf(config.moe)) ? [] : [routing(config, summary)]),
    `Speed       ${formatCount(summary.tokens)} tokens, ` +
    `${formatCount(summary.tokens_per_second)} tokens/s, ${formatSeconds(summary.seconds)}`,
    `Memory      ${formatBytes(summary.peak_bytes)} at most`,
    `Directory   ${path}`,
  ].join("\n");
}

function routing({ moe }: TrainConfig, { last, stage }: TrainSummary): string {
  const target = targetSparsity(routedSizes(moe));
  const { sparsity, lambda } = last!;
  const control = routerOf(moe).lambda ? `, λ ${formatLambda(lambda)}, ${stageText(stage)}` : "";
  return `Sparsity    ${sparsity.toFixed(4)} for a target of ${target.toFixed(4)}${control}`;
}

function stageText({ stage, sparse_from }: StageState): string {
  return sparse_from === null ? `in the ${stage} stage` : `sparse from step ${sparse_from}`;
}

function validationFigures(metrics: ValidationMetrics): string {
  const { valid_loss, valid_bits_per_byte, valid_loss_causal, valid_loss_noncausal } = metrics;
  return `${valid_loss.toFixed(4)} nats per token, ${
    valid_bits_per_byte.toFixed(4)
  } bits per byte` +
    causalText(valid_loss_causal, valid_loss_noncausal);
}

/** The two parts of a loss, if the router routes some tokens causally and others not. */
function causalText(causal: number | undefined, noncausal: number | undefined): string {
  if (causal === undefined || noncausal === undefined) return "";
  return `; ${causal.toFixed(4)} where routed causally, ${noncausal.toFixed(4)} before`;
}
