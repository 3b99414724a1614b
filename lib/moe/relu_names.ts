/** Names in the ReLU router's settings, apart from its code: a configuration loads no kernels. @module */

/**
 * How the ReLU router's L1 term weights the experts: `load` by their share of the tokens (equation
 * 10 of the paper), `load-squared` by its square, `transport` by their price in a balanced transport
 * of the tokens, `plain` equally (equation 9); `none` drops the term.
 */
export type BalanceName = "load" | "plain" | "none" | "load-squared" | "transport";

/**
 * What the ReLU router makes of a positive logit `z`: `relu` leaves it (equation 5), `relu-squared`
 * gives `z²` and `tanh` gives `tanh(z)`. All give 0 for any other logit.
 */
export type GateName = "relu" | "relu-squared" | "tanh";

/** Names of the L1 terms, the default first. */
export const BALANCE_NAMES: readonly BalanceName[] = [
  "load",
  "plain",
  "none",
  "load-squared",
  "transport",
];

/** Names of the activations, the default first. */
export const GATE_NAMES: readonly GateName[] = ["relu", "relu-squared", "tanh"];
