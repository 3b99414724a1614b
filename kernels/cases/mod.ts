/**
 * The case list: every operation of the contract, with inputs, sizes, a float64 reference and
 * tolerances. Tests use it to check kernels and compare kernel libraries; benches time it.
 *
 * @module
 */
import type { GradientCase, KernelCase, OperationCase } from "./case.ts";
import { ADAMW_CASES } from "./adamw.ts";
import { ATTENTION_CASES, ATTENTION_GRADIENT_CASES } from "./attention.ts";
import { ATTENTION_EXTEND_CASES } from "./attention_extend.ts";
import { CROSS_ENTROPY_CASES, CROSS_ENTROPY_GRADIENT_CASES } from "./cross_entropy.ts";
import { DISPATCH_PLAN_CASES } from "./dispatch_plan.ts";
import { ELEMENTWISE_CASES, ELEMENTWISE_GRADIENT_CASES } from "./elementwise.ts";
import { EMBEDDING_CASES, EMBEDDING_GRADIENT_CASES } from "./embedding.ts";
import { EXPERTS_CASES, EXPERTS_GRADIENT_CASES } from "./experts.ts";
import { EXPERT_CHOICE_CASES, EXPERT_CHOICE_GRADIENT_CASES } from "./expert_choice_router.ts";
import { GEMM_CASES } from "./gemm.ts";
import { HASH_ROUTER_CASES } from "./hash_router.ts";
import { LAYOUT_CASES } from "./layout.ts";

import { RANDOM_CASES } from "./random_numbers.ts";
import { REDUCTION_CASES, REDUCTION_GRADIENT_CASES } from "./reduction.ts";
import { RELU_ROUTER_CASES, RELU_ROUTER_GRADIENT_CASES } from "./relu_router.ts";
import { ROUTING_MASK_CASES } from "./routing_mask.ts";
import { RMS_NORM_CASES, RMS_NORM_GRADIENT_CASES } from "./rms_norm.ts";
import { ROPE_CASES, ROPE_GRADIENT_CASES } from "./rope.ts";
import { SIGMOID_ROUTER_CASES, SIGMOID_ROUTER_GRADIENT_CASES } from "./sigmoid_router.ts";
import {
  SPARSEMIXER_ROUTER_CASES,
  SPARSEMIXER_ROUTER_GRADIENT_CASES,
} from "./sparsemixer_router.ts";
import { STEP_STATE_CASES } from "./step_state.ts";
import { STORAGE_CASES } from "./storage.ts";
import { SWIGLU_CASES, SWIGLU_GRADIENT_CASES } from "./swiglu.ts";
import { TOKEN_SCORES_CASES } from "./token_scores.ts";
import { TOPK_ROUTER_CASES, TOPK_ROUTER_GRADIENT_CASES } from "./topk_router.ts";
import { TRANSPORT_WEIGHTS_CASES } from "./transport_weights.ts";

/** Every case with a float64 reference. */
export const OPERATION_CASES: readonly OperationCase[] = [
  ...STORAGE_CASES,
  ...RANDOM_CASES,
  ...ELEMENTWISE_CASES,
  ...REDUCTION_CASES,
  ...LAYOUT_CASES,
  ...GEMM_CASES,
  ...RELU_ROUTER_CASES,
  ...TRANSPORT_WEIGHTS_CASES,
  ...TOPK_ROUTER_CASES,
  ...SIGMOID_ROUTER_CASES,
  ...HASH_ROUTER_CASES,
  ...EXPERT_CHOICE_CASES,
  ...SPARSEMIXER_ROUTER_CASES,
  ...ROUTING_MASK_CASES,
  ...DISPATCH_PLAN_CASES,
  ...EXPERTS_CASES,
  ...SWIGLU_CASES,
  ...RMS_NORM_CASES,
  ...ROPE_CASES,
  ...ATTENTION_CASES,
  ...ATTENTION_EXTEND_CASES,
  ...EMBEDDING_CASES,
  ...CROSS_ENTROPY_CASES,
  ...TOKEN_SCORES_CASES,
  ...ADAMW_CASES,
  ...STEP_STATE_CASES,
];

/** Every case of a gradient kernel. */
export const GRADIENT_CASES: readonly GradientCase[] = [
  ...ELEMENTWISE_GRADIENT_CASES,
  ...REDUCTION_GRADIENT_CASES,
  ...RELU_ROUTER_GRADIENT_CASES,
  ...TOPK_ROUTER_GRADIENT_CASES,
  ...SIGMOID_ROUTER_GRADIENT_CASES,
  ...EXPERT_CHOICE_GRADIENT_CASES,
  ...SPARSEMIXER_ROUTER_GRADIENT_CASES,
  ...EXPERTS_GRADIENT_CASES,
  ...SWIGLU_GRADIENT_CASES,
  ...RMS_NORM_GRADIENT_CASES,
  ...ROPE_GRADIENT_CASES,
  ...ATTENTION_GRADIENT_CASES,
  ...EMBEDDING_GRADIENT_CASES,
  ...CROSS_ENTROPY_GRADIENT_CASES,
];

/** All cases. */
export const KERNEL_CASES: readonly KernelCase[] = [...OPERATION_CASES, ...GRADIENT_CASES];
