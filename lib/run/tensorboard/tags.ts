/**
 * What TensorBoard shows of a run's figures, under which names.
 *
 * @module
 */

import { largest } from "../../extremes.ts";
import type { RouterTraits } from "../../moe/router_row.ts";
import { visibleName } from "../../visible.ts";
import type { StepMetrics, ValidationMetrics } from "../metrics_line.ts";

/** A number by its tag: up to the first slash the group, then the chart. */
export interface Scalar {
  /** The tag. */
  readonly tag: string;
  /** The number. */
  readonly value: number;
  /** What it is and its unit, in Markdown. */
  readonly about: string;
}

/**
 * The numbers of a step. What a router does not have is left out: a dense model has neither
 * sparsity nor load, and few routers have a λ.
 *
 * @param metrics The step's figures.
 * @param router The run's router.
 * @returns The numbers.
 */
export function stepScalars(metrics: StepMetrics, router: RouterTraits): Scalar[] {
  return [
    scalar("loss/train", metrics.loss, "Language-model loss, nats a token"),
    scalar("optimizer/lr", metrics.lr, "Learning rate"),
    scalar("optimizer/grad_norm", metrics.grad_norm, "Norm of the whole gradient before clipping"),
    ...(router.routed ? routing(metrics) : []),
    ...(router.lambda ? [scalar("router/lambda", metrics.lambda, "λ that the step used")] : []),
    ...(router.loss === null
      ? []
      : [scalar(`router/${router.loss.name}`, metrics.l1_reg, router.loss.about)]),
    scalar("speed/tokens_per_second", metrics.tokens_per_second, "Tokens of the step a second"),
    scalar("speed/gflops", metrics.gflops, "FLOPs of the step by the formula, GFLOPS"),
    scalar("speed/gflops_executed", metrics.gflops_executed, "FLOPs that the step ran, GFLOPS"),
    scalar("speed/step_ms", metrics.ms, "Time of the step, milliseconds"),
    scalar("memory/bytes", metrics.memory_bytes, "Most device memory in use at once, bytes"),
  ];
}

/**
 * The numbers of a validation.
 *
 * @param metrics Its figures.
 * @returns The numbers, those of each domain where there are several.
 */
export function validationScalars(metrics: ValidationMetrics): Scalar[] {
  const loss = (tag: string, value: number): Scalar =>
    scalar(tag, value, "Loss on held-out text, nats a token");
  const bits = (tag: string, value: number): Scalar =>
    scalar(tag, value, "Loss on held-out text, bits a byte");
  return [
    loss("loss/validation", metrics.valid_loss),
    bits("bits_per_byte/validation", metrics.valid_bits_per_byte),
    ...Object.entries(metrics.valid_loss_by_domain ?? {})
      .map(([domain, value]) => loss(`loss/validation/${visibleName(domain)}`, value)),
    ...Object.entries(metrics.valid_bits_per_byte_by_domain ?? {})
      .map(([domain, value]) => bits(`bits_per_byte/validation/${visibleName(domain)}`, value)),
  ];
}

/**
 * The name of a layer in a tag; TensorBoard sorts tags as texts.
 *
 * @param layer Its index, from 0.
 * @returns Like `layer_07`.
 */
export function layerName(layer: number): string {
  return `layer_${String(layer).padStart(2, "0")}`;
}

function routing(metrics: StepMetrics): Scalar[] {
  const busiest = metrics.expert_load.map((shares) => largest(shares) * shares.length);
  return [
    scalar("sparsity/mean", metrics.sparsity, "Share of pairs of token and expert that are closed"),
    ...metrics.sparsity_per_layer.map((value, layer) =>
      scalar(`sparsity/${layerName(layer)}`, value, "The same of one layer")
    ),
    scalar(
      "router/tokens_without_expert",
      metrics.tokens_without_expert,
      "Pairs of token and layer that no expert took",
    ),
    scalar(
      "router/idle_experts",
      metrics.idle_experts,
      "Experts of all layers that got no token in the step",
    ),
    scalar(
      "router/closed_layers",
      metrics.closed_layers,
      "Layers in which at least nine of ten tokens have no expert",
    ),
    ...busiest.map((value, layer) =>
      scalar(
        `expert_load_max/${layerName(layer)}`,
        value,
        "Load of the busiest expert over the fair share; 1 is balanced",
      )
    ),
  ];
}

function scalar(tag: string, value: number, about: string): Scalar {
  return { tag, value, about };
}
