// Generated from kernels/include/remoe.h by `deno task build:symbols`: do not edit.

/** The version of the contract that this package calls. */
export const ABI_VERSION = 6;

/** Result of a call. */
export const Status = {
  ok: 0,
  /** a null address, a size below 1, an unknown code */
  invalidArgument: 1,
  /** the context is null, closed or not a context */
  invalidContext: 2,
  outOfMemory: 3,
  /** known to the contract, not to this build or dtype */
  unsupported: 4,
  /** no such device, or no driver */
  noDevice: 5,
  /** an earlier operation failed asynchronously */
  deviceFault: 6,
  /** an index in the data (token, target) is out of range */
  outOfRange: 7,
  internal: 8,
} as const;

/** Element types. */
export const DTypeCode = {
  f32: 0,
  bf16: 1,
  i32: 2,
  /** only for the step state: storage, fill, copies and casts */
  f64: 3,
} as const;

/** Kinds of kernel library. */
export const BackendCode = {
  cpu: 0,
  cuda: 1,
  emulated: 2,
} as const;

/**
 * Slots of the step state. Values that change from step to step live in one device buffer of
 * doubles, so that a captured graph does not freeze them and a step reads back once:
 *
 *   [REMOE_STATE_HEADER doubles][one record of REMOE_RECORD_EXTRA + E doubles per layer]
 *
 * The host writes slots 0..7 before a step; the device writes the rest.
 */
export const StateSlot = {
  learningRate: 0,
  /** 1 - beta1^step */
  biasCorrection1: 1,
  /** 1 - beta2^step */
  biasCorrection2: 2,
  /** counter of Philox draws */
  step: 3,
  /** coefficient of the L1 regularisation */
  lambda: 8,
  /** S, equation 8 */
  sparsity: 9,
  /** (token, active expert) pairs, all layers */
  activePairs: 10,
  gradientNorm: 11,
  clipScale: 12,
  /** 1 once a gradient norm was not finite */
  notFinite: 13,
  /** sum of the values remoe_state_add added */
  loss: 14,
  /** L_reg of equation 9 or 10 */
  l1: 15,
  /** TopK's balance loss */
  balance: 16,
  /** 1 once a dispatch plan overflowed its capacity */
  overflow: 17,
  /** A/target - 1 of the last proportional update of lambda */
  excess: 18,
  header: 32,
} as const;

/**
 * A layer's record in the step state: REMOE_RECORD_EXTRA totals, then the counts of its E
 * experts.
 */
export const RecordField = {
  /** tokens seen */
  tokens: 0,
  /** tokens with no active expert */
  withoutExpert: 1,
  /** sum of f_e * sum_t gate_te, before dividing by L*T */
  regularization: 2,
  /** sum of balance losses weighted by tokens */
  balance: 3,
  extra: 4,
} as const;

/** How lambda follows the sparsity. */
export const LambdaCode = {
  fixed: 0,
  /** equation 7 */
  sign: 1,
  /** proportional-integral control of log(lambda) */
  proportional: 2,
} as const;

/** Distributions of random numbers. */
export const DistributionCode = {
  uniform: 0,
  normal: 1,
} as const;

/** Elementwise operations of two tensors. */
export const BinaryCode = {
  add: 0,
  subtract: 1,
  multiply: 2,
  divide: 3,
} as const;

/** Elementwise functions. */
export const UnaryCode = {
  negate: 0,
  exp: 1,
  log: 2,
  sqrt: 3,
  square: 4,
  relu: 5,
  sigmoid: 6,
  silu: 7,
  tanh: 8,
  /** parameter * x */
  scale: 9,
  /** parameter + x */
  shift: 10,
} as const;

/** Reductions. */
export const ReductionCode = {
  sum: 0,
  mean: 1,
  maximum: 2,
} as const;

/** Regularisations of the router. */
export const BalanceCode = {
  none: 0,
  /** equation 9: f = 1 */
  plain: 1,
  /** equation 10: f_e = E * n_e / (k * T) */
  load: 2,
  /** E/(k*T^2) * sum_e n_e P_e on TopK's softmax */
  switch: 3,
  /** equation 10 with f_e^2 in place of f_e */
  loadSquared: 4,
  /** equation 10 with f_e from remoe_transport_weights */
  transport: 5,
} as const;

/** What the ReLU router makes of a positive logit z; every other logit gives the gate 0. */
export const GateCode = {
  /** z, equation 5 */
  relu: 0,
  /** z^2 */
  reluSquared: 1,
  /** tanh(z) */
  tanh: 2,
} as const;

/**
 * Words of a plan's header. A plan is one i32 buffer: the header, then four arrays at the
 * offsets the layout functions give; C is its capacity in rows. Rows are expert-major, with
 * tokens ascending within an expert: no sort is needed and the order does not depend on the
 * thread count. On overflow only the header is valid.
 *
 * A device whose host does not know N before the step chooses C from the counts of the last
 * step and a margin. remoe_state_record_routing notes an overflow in the state; the optimizer
 * and lambda then skip the step, and the host takes it again with more room.
 */
export const PlanWord = {
  /** N */
  rows: 0,
  /** 1 if N > C, else 0 */
  overflow: 1,
  /** tokens without an expert */
  withoutExpert: 2,
  /** C */
  capacity: 3,
  header: 4,
} as const;

/**
 * Words of a parameter's row in the optimizer's table. `table` is a device
 * uint64_t[count][REMOE_TENSOR_WORDS]: addresses and properties of every parameter, written
 * once by the host.
 */
export const TensorWord = {
  /** fp32 weights */
  master: 0,
  /** dtype in FLAGS bits 8..15 */
  gradient: 1,
  moment1: 2,
  moment2: 3,
  /** bf16 copy of the weights, 0: none */
  copy: 4,
  elements: 5,
  /** bit 0: weight decay applies */
  flags: 6,
  words: 8,
} as const;

/** Operations whose scratch memory can be asked for, and the sizes that it follows from. */
export const ScratchCode = {
  /** N, kept_rows, T, D, W, E; kept_rows may be 0 */
  expertsGradient: 0,
  /** T, D, V, and 1 where logits are kept, else 0 */
  crossEntropyGradient: 1,
} as const;
