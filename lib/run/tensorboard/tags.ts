/**
 * The metrics that TensorBoard shows, and their tags.
 *
 * @module
 */

import { largest } from "../../extremes.ts";
import type { RouterTraits } from "../../moe/router_row.ts";
import { visibleName } from "../../visible.ts";
import type { FlipMetrics, StepMetrics, ValidationMetrics } from "../metrics_line.ts";

/** A number and its tag: the group, a slash, and the chart. */
export interface Scalar {
  /** The tag. */
  readonly tag: string;
  /** The number. */
  readonly value: number;
  /** What it is and its unit, in Markdown. */
  readonly about: string;
}

/**
 * Lists the numbers of a step. What a router does not have is left out: a dense model has neither
 * sparsity nor load, and few routers have a λ.
 *
 * @param metrics The step's metrics.
 * @param router The run's router.
 * @returns The numbers.
 */
export function stepScalars(metrics: StepMetrics, router: RouterTraits): Scalar[] {
  return [
    scalar("loss/train", metrics.loss, "Language-model loss, nats per token"),
    scalar("optimizer/lr", metrics.lr, "Learning rate"),
    scalar("optimizer/grad_norm", metrics.grad_norm, "Global gradient norm before clipping"),
    ...causalScalars("train", metrics.loss_causal, metrics.loss_noncausal),
    ...(router.merges ? load(metrics, "Mean weight of the layer's heaviest expert") : []),
    ...(router.routed && !router.merges ? routing(metrics) : []),
    ...(router.lambda ? [scalar("router/lambda", metrics.lambda, "λ used by the step")] : []),
    ...(router.loss === null
      ? []
      : [scalar(`router/${router.loss.name}`, metrics.l1_reg, router.loss.about)]),
    ...(metrics.z_loss === undefined
      ? []
      : [scalar("router/z_loss", metrics.z_loss, "z-loss without its coefficient")]),
    scalar("speed/tokens_per_second", metrics.tokens_per_second, "Tokens per second of the step"),
    scalar("speed/gflops", metrics.gflops, "GFLOPS of the step, FLOPs counted by the formula"),
    scalar(
      "speed/gflops_executed",
      metrics.gflops_executed,
      "GFLOPS of the step, FLOPs actually executed",
    ),
    scalar("speed/step_ms", metrics.ms, "Time of the step, milliseconds"),
    scalar("memory/bytes", metrics.memory_bytes, "Peak device memory in use, bytes"),
  ];
}

/**
 * Lists the numbers of a validation.
 *
 * @param metrics Its metrics.
 * @returns The numbers, including those of each domain if there are several.
 */
export function validationScalars(metrics: ValidationMetrics): Scalar[] {
  const loss = (tag: string, value: number): Scalar =>
    scalar(tag, value, "Loss on held-out text, nats per token");
  const bits = (tag: string, value: number): Scalar =>
    scalar(tag, value, "Loss on held-out text, bits per byte");
  return [
    loss("loss/validation", metrics.valid_loss),
    ...causalScalars("validation", metrics.valid_loss_causal, metrics.valid_loss_noncausal),
    ...laterScalars(metrics.valid_loss_later),
    bits("bits_per_byte/validation", metrics.valid_bits_per_byte),
    ...Object.entries(metrics.valid_loss_by_domain ?? {})
      .map(([domain, value]) => loss(`loss/validation/${visibleName(domain)}`, value)),
    ...Object.entries(metrics.valid_bits_per_byte_by_domain ?? {})
      .map(([domain, value]) => bits(`bits_per_byte/validation/${visibleName(domain)}`, value)),
  ];
}

/**
 * Lists the numbers of a step's flips.
 *
 * @param metrics The flips.
 * @returns The numbers.
 */
export function flipScalars(metrics: FlipMetrics): Scalar[] {
  const layers = metrics.flip_rate_per_layer;
  return [
    scalar(
      "flips/rate",
      metrics.flip_rate,
      "Share of token-expert pairs of the calibration tokens whose routing the step changed",
    ),
    scalar("flips/count", metrics.flip_count, "Experts gained or lost per token and layer"),
    ...layers.map((rate, layer) =>
      scalar(`flips/${layerName(layer)}`, rate, "The rate of one layer")
    ),
  ];
}

/**
 * Names a layer in a tag, padded because TensorBoard sorts tags as strings.
 *
 * @param layer Its index, from 0.
 * @returns For example `layer_07`.
 */
export function layerName(layer: number): string {
  return `layer_${String(layer).padStart(2, "0")}`;
}

/** The two parts of a loss, if the router routes some tokens causally and others not. */
function causalScalars(
  side: "train" | "validation",
  causal: number | undefined,
  noncausal: number | undefined,
): Scalar[] {
  if (causal === undefined || noncausal === undefined) return [];
  const about = "nats per token";
  return [
    scalar(`loss/${side}_causal`, causal, `Loss of causally routed tokens, ${about}`),
    scalar(`loss/${side}_noncausal`, noncausal, `Loss of the tokens before them, ${about}`),
  ];
}

function laterScalars(loss: number | undefined): Scalar[] {
  const about = "Loss on held-out text from token min(256, S/4) of each row on, nats per token";
  return loss === undefined ? [] : [scalar("loss/validation_later", loss, about)];
}

/** The largest load of each layer. */
function load({ expert_load }: StepMetrics, about: string): Scalar[] {
  return expert_load.map((shares, layer) =>
    scalar(
      `expert_load_max/${layerName(layer)}`,
      largest(shares) * shares.length,
      `${about} relative to the fair share; 1 is balanced`,
    )
  );
}

function routing(metrics: StepMetrics): Scalar[] {
  return [
    scalar("sparsity/mean", metrics.sparsity, "Share of token-expert pairs that are closed"),
    ...metrics.sparsity_per_layer.map((value, layer) =>
      scalar(`sparsity/${layerName(layer)}`, value, "The same for one layer")
    ),
    scalar(
      "router/tokens_without_expert",
      metrics.tokens_without_expert,
      "Layer-token pairs routed to no expert",
    ),
    scalar(
      "router/idle_experts",
      metrics.idle_experts,
      "Experts that got no token in the step, over all layers",
    ),
    scalar(
      "router/closed_layers",
      metrics.closed_layers,
      "Layers in which at least nine in ten tokens have no expert",
    ),
    ...load(metrics, "Load of the busiest expert"),
  ];
}

function scalar(tag: string, value: number, about: string): Scalar {
  return { tag, value, about };
}
