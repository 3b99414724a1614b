/** Step state, gradient norm and AdamW. `kernels/include/remoe.h` has the shapes. */
export interface OptimizerSymbols {
  /** Zeroes the step state for a new step. */
  remoe_state_begin(context: bigint, state: bigint, layers: number, experts: number): number;
  /** Adds a device value to a slot of the step state. */
  remoe_state_add(
    context: bigint,
    state: bigint,
    slot: number,
    value: bigint,
    scale: number,
  ): number;
  /** Adds the routing of a micro-batch to the record of a layer. */
  remoe_state_record_routing(
    context: bigint,
    state: bigint,
    layer: number,
    plan: bigint,
    counts: bigint,
    sums: bigint,
    balance: number,
    active: number,
    tokens: number,
    experts: number,
  ): number;
  /** Equation 7: adapts lambda to the sparsity of the step. */
  remoe_state_update_lambda(
    context: bigint,
    state: bigint,
    layers: number,
    experts: number,
    active: number,
    tokens: number,
    alpha: number,
    floor: number,
    ceiling: number,
    adapt: number,
  ): number;
  /** Norm of all gradients and the scale that clips it. */
  remoe_gradient_norm(
    context: bigint,
    state: bigint,
    table: bigint,
    count: number,
    clip: number,
  ): number;
  /** One step of AdamW over all parameters. */
  remoe_adamw(
    context: bigint,
    state: bigint,
    table: bigint,
    count: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    weightDecay: number,
  ): number;
}

/** The C types of {@linkcode OptimizerSymbols}, in the order of declaration. */
export const OPTIMIZER_SYMBOLS = {
  remoe_state_begin: {
    parameters: ["u64", "u64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_state_add: {
    parameters: ["u64", "u64", "i32", "u64", "f64"],
    result: "i32",
    optional: true,
  },
  remoe_state_record_routing: {
    parameters: ["u64", "u64", "i32", "u64", "u64", "u64", "i32", "f64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_state_update_lambda: {
    parameters: ["u64", "u64", "i32", "i32", "f64", "f64", "f64", "f64", "f64", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_gradient_norm: {
    parameters: ["u64", "u64", "u64", "i32", "f64"],
    result: "i32",
    optional: true,
  },
  remoe_adamw: {
    parameters: ["u64", "u64", "u64", "i32", "f64", "f64", "f64", "f64"],
    result: "i32",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;
