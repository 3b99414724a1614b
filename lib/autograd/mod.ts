/** Reverse-mode differentiation: devices, tapes, and operations with their derivatives. @module */

export { causalAttention, type CausalAttentionOptions } from "./attention.ts";
export {
  checkGradient,
  type CheckGradientOptions,
  type GradientDeviation,
} from "./check_gradient.ts";
export {
  defineOperation,
  type OperationDefinition,
  type OperationGradient,
} from "./define_operation.ts";
export { Device } from "./device.ts";
export type { DeviceInfo, DeviceOptions, DeviceStatistics } from "./device_options.ts";
export type { NormalOptions, UniformOptions } from "./distributions.ts";
export { add, divide, multiply, subtract, type TensorOf } from "./arithmetic.ts";
export { embedding } from "./embedding.ts";
export { cast, reshape, rows, transpose } from "./layout.ts";
export { type CrossEntropy, crossEntropy } from "./cross_entropy.ts";
export { meanSquaredError } from "./mean_squared_error.ts";
export type { ParameterOptions } from "./made_tensors.ts";
export { matmul } from "./matmul.ts";
export { isPositive, max } from "./max.ts";
export type { Parameter } from "./parameter.ts";
export { permute } from "./permute.ts";
export { recompute } from "./recompute.ts";
export { mean, type ReduceOptions, softmax, sum } from "./reduce.ts";
export { rmsNorm } from "./rms_norm.ts";
export { concatenate, type ConcatenateOptions, slice, type SliceOptions } from "./slice.ts";
export type { LambdaRule, LambdaRuleName } from "./lambda_rule.ts";
export type { LayerRouting, StepReadout } from "./step_readout.ts";
export type { StepInputs } from "./step_inputs.ts";
export { StepState, type StepStateOptions } from "./step_state.ts";
export { swiglu } from "./swiglu.ts";
export type { BackwardOptions, Recording } from "./tape.ts";
export {
  exp,
  log,
  negate,
  relu,
  scale,
  shift,
  sigmoid,
  silu,
  sqrt,
  square,
  tanh,
} from "./unary.ts";
