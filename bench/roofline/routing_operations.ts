/** Routers and the plan at the paper's sizes. @module */

import { dispatchPlanCase } from "../../kernels/cases/dispatch_plan.ts";
import { expertChoiceCase } from "../../kernels/cases/expert_choice_router.ts";
import { gemmCase } from "../../kernels/cases/gemm.ts";
import { hashRouterCase } from "../../kernels/cases/hash_router.ts";
import { reluRouterCase, reluRouterGradientCase } from "../../kernels/cases/relu_router.ts";
import { routingMaskCase } from "../../kernels/cases/routing_mask.ts";
import { sigmoidRouterCase } from "../../kernels/cases/sigmoid_router.ts";
import { sparseMixerRouterCase } from "../../kernels/cases/sparsemixer_router.ts";
import { topkRouterCase, topkRouterGradientCase } from "../../kernels/cases/topk_router.ts";
import { bf16, type CaseOptions, f32, type Operation, operation } from "./operation.ts";

/** Tokens of a micro-batch and the hidden size of the 182m model. */
const TOKENS = 16384;
const HIDDEN = 768;

/**
 * Lists the calls that route tokens.
 *
 * @returns The operations.
 */
export function routingOperations(): Operation[] {
  return [
    ...[8, 32, 128].flatMap(reluAndProducts),
    ...otherRouters(),
    ...[8, 128].map((experts) =>
      routing({
        name: `dispatch_plan, E ${experts}`,
        kernelCase: dispatchPlanCase({ tokens: TOKENS, experts, density: 1 / experts }),
      })
    ),
    routing({
      name: "routing_mask, E 8",
      kernelCase: routingMaskCase({ tokens: TOKENS, experts: 8, density: 1 / 8 }),
    }),
  ];
}

/** A call on the router's operands as zeros: where they lie is all that counts. */
function routing(options: Omit<CaseOptions, "group">): Operation {
  return operation({ group: "Routing", ...options });
}

/** Measured rows name their sizes. */
function label(experts: number): string {
  return `T ${TOKENS}, d ${HIDDEN}, E ${experts}`;
}

function reluAndProducts(experts: number): Operation[] {
  const sizes = { tokens: TOKENS, hidden: HIDDEN, experts };
  const pairs = TOKENS * experts;
  return [
    routing({
      name: `relu_router_forward, E ${experts}`,
      kernelCase: reluRouterCase({ ...sizes, dtype: "bf16" }),
      inputs: { x: bf16(TOKENS, HIDDEN), w: f32(HIDDEN, experts) },
      operations: 2 * TOKENS * HIDDEN * experts,
      timed: `relu_router forward ${label(experts)}`,
    }),
    routing({
      name: `relu_router_gradient, E ${experts}`,
      kernelCase: reluRouterGradientCase({ tokens: TOKENS, experts, balance: "load" }),
    }),
    routing({
      name: `router's dX, added, E ${experts}`,
      kernelCase: gemmCase({
        ...{ m: TOKENS, n: HIDDEN, k: experts, transposeB: true, beta: 1 },
        storage: "f32 to bf16",
      }),
      inputs: { a: f32(pairs), b: f32(HIDDEN, experts), c: bf16(TOKENS, HIDDEN) },
      minimum: f32(pairs) + f32(HIDDEN, experts) + 2 * bf16(TOKENS, HIDDEN),
    }),
    routing({
      name: `router's dW, E ${experts}`,
      kernelCase: gemmCase({
        ...{ m: HIDDEN, n: experts, k: TOKENS, transposeA: true },
        storage: "bf16 by f32",
      }),
      inputs: { a: bf16(TOKENS, HIDDEN), b: f32(pairs) },
    }),
  ];
}

function otherRouters(): Operation[] {
  const experts = 8;
  const sizes = { tokens: TOKENS, hidden: HIDDEN, experts, active: 1, dtype: "bf16" } as const;
  const inputs = { x: bf16(TOKENS, HIDDEN), w: f32(HIDDEN, experts) };
  return [
    routing({
      name: "topk_router_forward, E 8",
      kernelCase: topkRouterCase(sizes),
      inputs,
      timed: `topk_router forward ${label(experts)}`,
    }),
    routing({
      name: "topk_router_gradient, E 8",
      kernelCase: topkRouterGradientCase({ tokens: TOKENS, experts, active: 1 }),
      timed: `topk_router gradient ${label(experts)}`,
    }),
    routing({
      name: "sigmoid_router_forward, E 8",
      kernelCase: sigmoidRouterCase(sizes),
      inputs: { ...inputs, bias: f32(experts) },
      timed: `sigmoid_router forward ${label(experts)}`,
    }),
    routing({
      name: "sparsemixer_router_forward, E 8",
      kernelCase: sparseMixerRouterCase(sizes),
      inputs: { ...inputs, noise: f32(TOKENS, experts + 1) },
    }),
    routing({
      name: "expert_choice_router_forward, E 8",
      kernelCase: expertChoiceCase({ ...sizes, group: 1024, capacity: 128 }),
      inputs,
    }),
    routing({
      name: "hash_router_forward, E 8",
      kernelCase: hashRouterCase({ tokens: TOKENS, experts }),
    }),
  ];
}
