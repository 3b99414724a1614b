/** The unary functions of the contract, by name. */
export type UnaryName =
  | "negate"
  | "exp"
  | "log"
  | "sqrt"
  | "square"
  | "relu"
  | "sigmoid"
  | "silu"
  | "tanh"
  | "scale"
  | "shift";

/** The binary operations of the contract, by name. */
export type BinaryName = "add" | "subtract" | "multiply" | "divide";

/**
 * The logistic function, without overflow for large negative arguments.
 *
 * @param x A number.
 * @returns 1 / (1 + exp(-x)).
 */
export function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

/**
 * Applies a unary function.
 *
 * @param name The function.
 * @param x Its argument.
 * @param parameter The factor of `scale` or the term of `shift`.
 * @returns Its value.
 */
export function unary(name: UnaryName, x: number, parameter: number): number {
  switch (name) {
    case "negate":
      return -x;
    case "exp":
      return Math.exp(x);
    case "log":
      return Math.log(x);
    case "sqrt":
      return Math.sqrt(x);
    case "square":
      return x * x;
    case "relu":
      return Math.max(x, 0);
    case "sigmoid":
      return sigmoid(x);
    case "silu":
      return x * sigmoid(x);
    case "tanh":
      return Math.tanh(x);
    case "scale":
      return parameter * x;
    case "shift":
      return parameter + x;
  }
}

/**
 * Applies a binary operation.
 *
 * @param name The operation.
 * @param a The left operand.
 * @param b The right operand.
 * @returns Its value.
 */
export function binary(name: BinaryName, a: number, b: number): number {
  switch (name) {
    case "add":
      return a + b;
    case "subtract":
      return a - b;
    case "multiply":
      return a * b;
    case "divide":
      return a / b;
  }
}
