/**
 * The codes of `kernels/include/remoe.h`, enum by enum; a test holds both together.
 *
 * @module
 */

/** What a call returns: `remoe_status`. */
export const Status = {
  ok: 0,
  invalidArgument: 1,
  invalidContext: 2,
  outOfMemory: 3,
  unsupported: 4,
  noDevice: 5,
  deviceFault: 6,
  outOfRange: 7,
  internal: 8,
} as const;

/** Element types: `remoe_dtype`. `f64` serves the step state alone. */
export const DTypeCode = {
  f32: 0,
  bf16: 1,
  i32: 2,
  f64: 3,
} as const;

/** Kinds of kernel library: `remoe_backend`. */
export const BackendCode = {
  cpu: 0,
  cuda: 1,
  emulated: 2,
} as const;

/** Slots of the step state, in doubles: `remoe_state`. The records of the layers follow `header`. */
export const StateSlot = {
  learningRate: 0,
  biasCorrection1: 1,
  biasCorrection2: 2,
  step: 3,
  lambda: 8,
  sparsity: 9,
  activePairs: 10,
  gradientNorm: 11,
  clipScale: 12,
  notFinite: 13,
  loss: 14,
  l1: 15,
  balance: 16,
  overflow: 17,
  header: 32,
} as const;

/** Fields of a layer's record in the step state: `remoe_record`. The counts of its experts follow `extra`. */
export const RecordField = {
  tokens: 0,
  withoutExpert: 1,
  regularization: 2,
  balance: 3,
  extra: 4,
} as const;

/** Distributions of random numbers: `remoe_distribution`. */
export const DistributionCode = {
  uniform: 0,
  normal: 1,
} as const;

/** Elementwise operations of two tensors: `remoe_binary`. */
export const BinaryCode = {
  add: 0,
  subtract: 1,
  multiply: 2,
  divide: 3,
} as const;

/** Elementwise functions: `remoe_unary`. */
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
  scale: 9,
  shift: 10,
} as const;

/** Reductions: `remoe_reduction`. */
export const ReductionCode = {
  sum: 0,
  mean: 1,
  maximum: 2,
} as const;

/** Regularisations of the router: `remoe_balance`. */
export const BalanceCode = {
  none: 0,
  plain: 1,
  load: 2,
  switch: 3,
} as const;

/** Words of a parameter's row in the optimizer's table: `remoe_tensor`. */
export const TensorWord = {
  master: 0,
  gradient: 1,
  moment1: 2,
  moment2: 3,
  copy: 4,
  elements: 5,
  flags: 6,
  words: 8,
} as const;

/** The version of the contract that this package calls: `REMOE_ABI_VERSION`. */
export const ABI_VERSION = 3;

/**
 * Names a status for an error message.
 *
 * @param status A value of {@linkcode Status}, or what a newer library returned instead.
 * @returns The name in words, such as `out of memory`.
 */
export function statusName(status: number): string {
  const name = Object.entries(Status).find(([, code]) => code === status)?.[0];
  if (name === undefined) return `unknown status ${status}`;
  return name.replace(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`);
}
