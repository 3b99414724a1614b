import type { SymbolName } from "../../lib/ffi/mod.ts";

/** A value that can be passed through FFI. */
export type ArgumentValue = number | bigint | Int32Array<ArrayBuffer> | null;

/** An argument of a valid call, and what would make the call invalid. */
export interface Argument {
  /** A valid value; "address" stands for 64 KiB of zeros in device memory. */
  readonly valid: ArgumentValue | "address";
  /** Values that must be refused. */
  readonly wrong: readonly ArgumentValue[];
  /** What the message may call it other than its name. */
  readonly alias?: string;
}

/** Required device memory. */
const address: Argument = { valid: "address", wrong: [0n] };
/** Optional device memory. */
const optional: Argument = { valid: "address", wrong: [] };

/** A size, at least 1. */
function size(valid: number, ...wrong: readonly number[]): Argument {
  return { valid, wrong: [0, -1, ...wrong] };
}

/** A row count, which may be 0. */
function rows(valid: number): Argument {
  return { valid, wrong: [-1] };
}

/** A 64-bit element count, at least 1. */
function count(valid: bigint): Argument {
  return { valid, wrong: [0n] };
}

/** One of the contract's codes. */
function code(valid: number, ...wrong: readonly number[]): Argument {
  return { valid, wrong: [-1, 99, ...wrong] };
}

/** A number with some refused values. */
function number(valid: number | bigint, ...wrong: readonly number[]): Argument {
  return { valid, wrong };
}

/** The rank and what follows it. */
function layout(...valid: readonly number[]): Argument {
  const [, ...rest] = valid;
  const sized = [-1, 9].map((rank) => Int32Array.of(rank, ...new Array(24).fill(1)));
  const emptyAxis = Int32Array.of(1, 0, ...rest.slice(1));
  return { valid: Int32Array.from(valid), wrong: [null, ...sized, emptyAxis], alias: "rank|axis" };
}

const dtype: Argument = { ...code(0), alias: "dtype" };
const flag = number(0);
const mask = number(0);

/**
 * A valid call of every computing function: its arguments after the context, named as in the
 * header. Sizes are tiny, and zeros are valid data everywhere: token 0, target 0, a plan without
 * rows.
 */
export const VALID_CALLS: Readonly<
  Partial<Record<SymbolName, Readonly<Record<string, Argument>>>>
> = {
  remoe_copy: { target: address, source: address, bytes: number(8n) },
  remoe_fill: { dtype, target: address, value: number(1), count: count(3n) },
  remoe_state_begin: { state: address, layers: size(2), experts: size(3) },
  remoe_state_add: { state: address, slot: number(14, -1, 32), value: address, scale: number(1) },
  remoe_state_record_routing: {
    state: address,
    layer: number(0, -1),
    plan: address,
    counts: address,
    sums: optional,
    balance: code(2),
    active: number(1),
    tokens: size(2),
    experts: size(3),
  },
  remoe_state_update_lambda: {
    state: address,
    layers: size(2),
    experts: size(3),
    active: number(1),
    tokens: number(4),
    alpha: number(1.2),
    floor: number(1e-10),
    ceiling: number(1e4),
    rule: code(1),
    gain: number(0.05),
    damping: number(0.5),
  },
  remoe_random: {
    distribution: code(0),
    target: address,
    count: count(5n),
    a: number(0),
    b: number(1),
    seed: number(1n),
    operation: number(0),
    step: number(0),
  },
  remoe_binary: {
    operation: code(0),
    dtype,
    target: address,
    a: address,
    b: address,
    layout: layout(1, 3, 1, 1),
  },
  remoe_unary: {
    operation: code(0),
    dtype,
    target: address,
    x: address,
    parameter: number(1),
    count: count(3n),
  },
  remoe_unary_gradient: {
    operation: code(0),
    dtype,
    dx: address,
    dy: address,
    x: address,
    parameter: number(1),
    count: count(3n),
    accumulate: mask,
  },
  remoe_accumulate: { dtype, target: address, x: address, scale: number(1), count: count(3n) },
  remoe_reduce: {
    operation: code(0),
    dtype,
    target: address,
    x: address,
    layout: layout(1, 3, 1),
    accumulate: flag,
  },
  remoe_softmax: { target: address, x: address, rows: size(2), columns: size(3) },
  remoe_softmax_gradient: {
    dx: address,
    dy: address,
    y: address,
    rows: size(2),
    columns: size(3),
    accumulate: mask,
  },
  remoe_cast: {
    target_dtype: { ...dtype, valid: 1 },
    target: address,
    source_dtype: dtype,
    source: address,
    count: count(3n),
  },
  remoe_copy_strided: { dtype, target: address, source: address, layout: layout(1, 3, 1) },
  remoe_gemm: {
    dtype,
    dtype_c: dtype,
    transpose_a: flag,
    transpose_b: flag,
    m: size(2),
    n: size(3),
    k: size(4),
    alpha: number(1),
    a: address,
    lda: size(4, 3),
    b: address,
    ldb: size(3, 2),
    beta: number(0),
    c: address,
    ldc: size(3, 2),
  },
  remoe_relu_router_forward: {
    gates: address,
    mask: address,
    counts: address,
    gate_sums: address,
    x: address,
    w: address,
    tokens: size(2),
    hidden: size(3),
    experts: size(4),
    activation: code(0),
  },
  remoe_relu_router_gradient: {
    dlogits: address,
    dgates: address,
    gates: address,
    counts: address,
    weights: optional,
    lambda: address,
    balance: code(2, 3),
    activation: code(0),
    active: number(1),
    scale: number(1),
    revive: number(0, -1),
    tokens: size(2),
    experts: size(4),
  },
  remoe_transport_weights: {
    weights: address,
    weighted_sums: address,
    gates: address,
    gate_sums: address,
    sharpness: number(4, -1),
    iterations: size(8),
    tokens: size(2),
    experts: size(4),
  },
  remoe_topk_router_forward: {
    gates: address,
    probabilities: address,
    mask: address,
    counts: address,
    probability_sums: address,
    normalizer: optional,
    z_sum: optional,
    x: address,
    w: address,
    tokens: size(2),
    hidden: size(3),
    experts: size(4),
    active: size(2, 5),
    renormalize: flag,
  },
  remoe_topk_router_gradient: {
    dlogits: address,
    dgates: address,
    gates: address,
    mask: address,
    probabilities: address,
    normalizer: address,
    counts: address,
    scale: number(1),
    z_scale: number(1),
    tokens: size(2),
    experts: size(4),
    active: size(2, 5),
    renormalize: flag,
  },
  remoe_hash_router_forward: {
    dtype,
    gates: address,
    mask: address,
    counts: address,
    token_ids: address,
    tokens: size(2),
    experts: size(4),
  },
  remoe_expert_choice_router_forward: {
    dtype,
    gates: address,
    probabilities: address,
    mask: address,
    counts: address,
    x: address,
    w: address,
    tokens: size(2),
    hidden: size(3),
    experts: size(4),
    group: size(2),
    capacity: size(1, 3),
  },
  remoe_sigmoid_router_forward: {
    dtype,
    gates: address,
    scores: address,
    mask: address,
    counts: address,
    score_sums: address,
    bias: optional,
    x: address,
    w: address,
    tokens: size(2),
    hidden: size(3),
    experts: size(4),
    active: size(2, 5),
    normalize: flag,
  },
  remoe_sigmoid_router_gradient: {
    dlogits: address,
    dgates: address,
    gates: address,
    mask: address,
    scores: address,
    tokens: size(2),
    experts: size(4),
    normalize: flag,
  },
  remoe_sparsemixer_router_forward: {
    dtype,
    gates: address,
    logits: address,
    order: address,
    mask: address,
    counts: address,
    probability_sums: address,
    noise: optional,
    x: address,
    w: address,
    tokens: size(2),
    hidden: size(3),
    experts: size(4),
    active: size(2, 5),
    jitter: number(0.1, -1, NaN),
  },
  remoe_sparsemixer_router_gradient: {
    dlogits: address,
    dgates: address,
    logits: address,
    order: address,
    counts: address,
    scale: number(1),
    jitter: number(0.1, -1, NaN),
    tokens: size(2),
    experts: size(4),
    active: size(2, 5),
  },
  remoe_routing_mask: {
    mask: address,
    counts: address,
    values: address,
    dtype,
    tokens: size(2),
    experts: size(3),
  },
  remoe_dispatch_plan: {
    plan: address,
    mask: address,
    tokens: size(2),
    experts: size(3),
    capacity: size(4),
  },
  remoe_experts_forward: {
    y: address,
    h: address,
    x: address,
    w1: address,
    w2: address,
    gates: address,
    plan: address,
    kept_rows: rows(1),
    tokens: size(2),
    hidden: size(3),
    width: size(4),
    experts: size(5),
  },
  remoe_experts_gradient: {
    dx: optional,
    dw1: optional,
    dw2: optional,
    dgates: optional,
    dy: address,
    h: address,
    x: address,
    w1: address,
    w2: address,
    gates: address,
    plan: address,
    kept_rows: rows(1),
    tokens: size(2),
    hidden: size(3),
    width: size(4),
    experts: size(5),
    accumulate: mask,
  },
  remoe_swiglu_forward: { a: address, h: address, rows: size(2), width: size(3) },
  remoe_swiglu_gradient: {
    dh: address,
    da: address,
    h: address,
    rows: size(2),
    width: size(3),
    accumulate: mask,
  },
  remoe_rms_norm_forward: {
    y: address,
    inverse: optional,
    x: address,
    weight: address,
    rows: size(2),
    columns: size(3),
    epsilon: number(1e-5),
  },
  remoe_rms_norm_gradient: {
    dx: optional,
    dweight: optional,
    dy: address,
    inverse: address,
    x: address,
    weight: address,
    rows: size(2),
    columns: size(3),
    accumulate: mask,
  },
  remoe_rope: {
    x: address,
    rows: size(4),
    stride: size(12, 7),
    sequence: size(2),
    heads: size(2),
    head_dim: size(4, 3),
    base: number(10_000),
    offset: number(0),
    inverse: flag,
  },
  remoe_attention_forward: {
    out: address,
    normalizer: optional,
    q: address,
    k: address,
    v: address,
    batch: size(2),
    sequence: size(3),
    heads: size(4),
    groups: size(2, 3),
    head_dim: size(2),
    stride: size(16, 7),
  },
  remoe_attention_decode: {
    out: address,
    qkv: address,
    cache: address,
    lengths: address,
    batch: size(2),
    capacity: size(3),
    heads: size(4),
    groups: size(2, 3),
    head_dim: size(2, 3),
    stride: size(16, 15),
    base: number(10_000, 0),
  },
  remoe_attention_gradient: {
    dq: address,
    dk: address,
    dv: address,
    dout: address,
    out: address,
    normalizer: address,
    q: address,
    k: address,
    v: address,
    batch: size(2),
    sequence: size(3),
    heads: size(4),
    groups: size(2, 3),
    head_dim: size(2),
    stride: size(16, 7),
  },
  remoe_embedding_forward: {
    y: address,
    table: address,
    tokens: address,
    count: size(2),
    hidden: size(3),
    vocabulary: size(4),
  },
  remoe_embedding_gradient: {
    dtable: address,
    dy: address,
    tokens: address,
    count: size(2),
    hidden: size(3),
    vocabulary: size(4),
    accumulate: mask,
  },
  remoe_cross_entropy_forward: {
    loss: address,
    token_loss: optional,
    normalizer: address,
    logits: optional,
    x: address,
    w: address,
    targets: address,
    tokens: size(2),
    hidden: size(3),
    vocabulary: size(4),
    logit_stride: size(4),
  },
  remoe_cross_entropy_gradient: {
    dx: optional,
    dw: optional,
    dloss: address,
    loss: address,
    normalizer: address,
    logits: optional,
    x: address,
    w: address,
    targets: address,
    tokens: size(2),
    hidden: size(3),
    vocabulary: size(4),
    logit_stride: size(4),
    accumulate: mask,
  },
  remoe_gradient_norm: { state: address, table: address, count: size(1), clip: number(1) },
  remoe_adamw: {
    state: address,
    table: address,
    count: size(1),
    beta1: number(0.9),
    beta2: number(0.999),
    epsilon: number(1e-8),
    weight_decay: number(0),
  },
};
