/** Routers, dispatch and experts. `kernels/include/remoe.h` has the shapes. */
export interface MoeSymbols {
  /** Equation 5: gates, mask, counts and gate sums of the ReLU router. */
  remoe_relu_router_forward(
    context: bigint,
    gates: bigint,
    mask: bigint,
    counts: bigint,
    gateSums: bigint,
    x: bigint,
    w: bigint,
    tokens: number,
    hidden: number,
    experts: number,
  ): number;
  /** Gradient of the ReLU router's logits, with the regularisation. */
  remoe_relu_router_gradient(
    context: bigint,
    dlogits: bigint,
    dgates: bigint,
    gates: bigint,
    counts: bigint,
    lambda: bigint,
    balance: number,
    active: number,
    scale: number,
    tokens: number,
    experts: number,
  ): number;
  /** Gates, probabilities, mask and counts of the TopK router. */
  remoe_topk_router_forward(
    context: bigint,
    gates: bigint,
    probabilities: bigint,
    mask: bigint,
    counts: bigint,
    probabilitySums: bigint,
    x: bigint,
    w: bigint,
    tokens: number,
    hidden: number,
    experts: number,
    active: number,
    renormalize: number,
  ): number;
  /** Gradient of the TopK router's logits, with the balance loss. */
  remoe_topk_router_gradient(
    context: bigint,
    dlogits: bigint,
    dgates: bigint,
    gates: bigint,
    probabilities: bigint,
    counts: bigint,
    scale: number,
    tokens: number,
    experts: number,
    active: number,
    renormalize: number,
  ): number;
  /** Lists the rows of each expert and of each token. */
  remoe_dispatch_plan(
    context: bigint,
    plan: bigint,
    gates: bigint,
    tokens: number,
    experts: number,
    capacity: number,
  ): number;
  /** `y = sum of gates * FFN(x)` over the active experts. */
  remoe_experts_forward(
    context: bigint,
    y: bigint,
    h: bigint,
    x: bigint,
    w1: bigint,
    w2: bigint,
    gates: bigint,
    plan: bigint,
    keptRows: number,
    tokens: number,
    hidden: number,
    width: number,
    experts: number,
  ): number;
  /** Gradients of the experts: input, both weights, gates. */
  remoe_experts_gradient(
    context: bigint,
    dx: bigint,
    dw1: bigint,
    dw2: bigint,
    dgates: bigint,
    dy: bigint,
    h: bigint,
    x: bigint,
    w1: bigint,
    w2: bigint,
    gates: bigint,
    plan: bigint,
    keptRows: number,
    tokens: number,
    hidden: number,
    width: number,
    experts: number,
    accumulate: number,
  ): number;
  /** `a = silu(h[:, :W]) * h[:, W:]`. */
  remoe_swiglu_forward(context: bigint, a: bigint, h: bigint, rows: number, width: number): number;
  /** Gradient of SwiGLU. */
  remoe_swiglu_gradient(
    context: bigint,
    dh: bigint,
    da: bigint,
    h: bigint,
    rows: number,
    width: number,
    accumulate: number,
  ): number;
}

/** The C types of {@linkcode MoeSymbols}, in the order of declaration. */
export const MOE_SYMBOLS = {
  remoe_relu_router_forward: {
    parameters: ["u64", "u64", "u64", "u64", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_relu_router_gradient: {
    parameters: ["u64", "u64", "u64", "u64", "u64", "u64", "i32", "f64", "f64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_topk_router_forward: {
    parameters: [
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_topk_router_gradient: {
    parameters: ["u64", "u64", "u64", "u64", "u64", "u64", "f64", "i32", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_dispatch_plan: {
    parameters: ["u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_experts_forward: {
    parameters: [
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_experts_gradient: {
    parameters: [
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_swiglu_forward: {
    parameters: ["u64", "u64", "u64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_swiglu_gradient: {
    parameters: ["u64", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;
