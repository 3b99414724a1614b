/** Norm, rotary embedding, attention, embedding and cross entropy. `kernels/include/remoe.h` has the shapes. */
export interface TransformerSymbols {
  /** RMSNorm of each row. */
  remoe_rms_norm_forward(
    context: bigint,
    y: bigint,
    inverse: bigint,
    x: bigint,
    weight: bigint,
    rows: number,
    columns: number,
    epsilon: number,
  ): number;
  /** Gradients of RMSNorm: input and weight. */
  remoe_rms_norm_gradient(
    context: bigint,
    dx: bigint,
    dweight: bigint,
    dy: bigint,
    inverse: bigint,
    x: bigint,
    weight: bigint,
    rows: number,
    columns: number,
    accumulate: number,
  ): number;
  /** Turns heads in place by their position. */
  remoe_rope(
    context: bigint,
    x: bigint,
    rows: number,
    stride: number,
    sequence: number,
    heads: number,
    headDim: number,
    base: number,
    offset: number,
    inverse: number,
  ): number;
  /** Causal grouped-query attention. */
  remoe_attention_forward(
    context: bigint,
    out: bigint,
    lse: bigint,
    q: bigint,
    k: bigint,
    v: bigint,
    batch: number,
    sequence: number,
    heads: number,
    groups: number,
    headDim: number,
    stride: number,
  ): number;
  /** Attention of one new token a sequence against a cache. */
  remoe_attention_decode(
    context: bigint,
    out: bigint,
    qkv: bigint,
    cache: bigint,
    lengths: bigint,
    batch: number,
    capacity: number,
    heads: number,
    groups: number,
    headDim: number,
    stride: number,
    base: number,
  ): number;
  /** Gradients of attention: queries, keys, values. */
  remoe_attention_gradient(
    context: bigint,
    dq: bigint,
    dk: bigint,
    dv: bigint,
    dout: bigint,
    out: bigint,
    lse: bigint,
    q: bigint,
    k: bigint,
    v: bigint,
    batch: number,
    sequence: number,
    heads: number,
    groups: number,
    headDim: number,
    stride: number,
  ): number;
  /** Looks up a row for each token. */
  remoe_embedding_forward(
    context: bigint,
    y: bigint,
    table: bigint,
    tokens: bigint,
    count: number,
    hidden: number,
    vocabulary: number,
  ): number;
  /** Gradient of the embedding table. */
  remoe_embedding_gradient(
    context: bigint,
    dtable: bigint,
    dy: bigint,
    tokens: bigint,
    count: number,
    hidden: number,
    vocabulary: number,
    accumulate: number,
  ): number;
  /** Cross entropy fused with the output head. */
  remoe_cross_entropy_forward(
    context: bigint,
    loss: bigint,
    tokenLoss: bigint,
    lse: bigint,
    x: bigint,
    w: bigint,
    targets: bigint,
    tokens: number,
    hidden: number,
    vocabulary: number,
  ): number;
  /** Gradients of the fused cross entropy: input and output head. */
  remoe_cross_entropy_gradient(
    context: bigint,
    dx: bigint,
    dw: bigint,
    dloss: bigint,
    loss: bigint,
    lse: bigint,
    x: bigint,
    w: bigint,
    targets: bigint,
    tokens: number,
    hidden: number,
    vocabulary: number,
    accumulate: number,
  ): number;
}

/** The C types of {@linkcode TransformerSymbols}, in the order of declaration. */
export const TRANSFORMER_SYMBOLS = {
  remoe_rms_norm_forward: {
    parameters: ["u64", "u64", "u64", "u64", "u64", "i32", "i32", "f32"],
    result: "i32",
    optional: true,
  },
  remoe_rms_norm_gradient: {
    parameters: ["u64", "u64", "u64", "u64", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_rope: {
    parameters: ["u64", "u64", "i32", "i32", "i32", "i32", "i32", "f64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_attention_forward: {
    parameters: [
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
  remoe_attention_decode: {
    parameters: [
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
      "f64",
    ],
    result: "i32",
    optional: true,
  },
  remoe_attention_gradient: {
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
  remoe_embedding_forward: {
    parameters: ["u64", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_embedding_gradient: {
    parameters: ["u64", "u64", "u64", "u64", "i32", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_cross_entropy_forward: {
    parameters: ["u64", "u64", "u64", "u64", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_cross_entropy_gradient: {
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
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;
