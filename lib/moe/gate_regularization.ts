/** The L1 term on gates that a user-defined router computed by other operations. @module */

import { requireOneOf, requireOptions } from "../arguments.ts";
import { contribute } from "../autograd/contribute.ts";
import { sum } from "../autograd/reduce.ts";
import { lambdaAddress, requireStateOn, type StepState } from "../autograd/step_state.ts";
import { BalanceCode, GateCode } from "../ffi/codes.ts";
import { requireSizes } from "../settings.ts";
import { unwrapped } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { accumulate, fill } from "../tensor/transfer.ts";

/** λ · L_reg on a router's gates (equations 9 to 11), as the ReLU router has it. */
export interface GateRegularization {
  /** Holds λ: the state of the router's place in its model. */
  state: StepState;
  /** `load` weights experts by their share of tokens (equation 10), `plain` equally. Default `load`. */
  balance?: "load" | "plain";
  /** MoE layers that share λ: the L of equation 9. Default the layers of `state`. */
  layers?: number;
}

/** Gates whose gradient carries the L1 term, and what the statistics need. */
export interface RegularizedGates<T extends number, E extends number> {
  readonly gates: DeviceTensor<"f32", readonly [T, E]>;
  /** Sum over tokens of each expert's gates. */
  readonly sums: DeviceTensor<"f32", readonly [E]>;
  /** One of `BalanceCode`. */
  readonly balance: number;
}

/**
 * Passes gates through unchanged, and adds λ · f_e / (L · T) to the gradient of every open one: the
 * derivative of the L1 term, in which the count f_e is constant. No graph is built for the term,
 * and the loss need not include it.
 */
export function regularizeGates<T extends number, E extends number>(
  gates: DeviceTensor<"f32", readonly [T, E]>,
  counts: DeviceTensor<"i32", readonly [E]>,
  active: number,
  regularization: GateRegularization,
): RegularizedGates<T, E> {
  requireOptions("regularise gates", regularization, { state: true, balance: true, layers: true });
  const { state, balance = "load" } = regularization;
  const { memory, shape: [tokens, experts] } = gates;
  requireStateOn("regularise gates with", memory, state);
  const { layers = state.layers } = regularization;
  requireOneOf("regularise gates", "balance", balance, ["load", "plain"]);
  requireSizes("regularise gates", { layers });
  const { kernels: k } = memory;
  const passed = memory.view(gates, gates) as DeviceTensor<"f32", readonly [T, E]>;
  recordNode({
    operation: "regularize gates",
    inputs: [gates],
    outputs: [passed],
    saved: [gates, counts],
    backward(gradients) {
      const dy = gradients.of(passed);
      if (dy === null) return;
      contribute(gradients, gates, gates.shape, (dgates) => {
        // The kernel stops the gradient at gates of 0; selected ones still get the loss's.
        fill(dgates, 0);
        k.check(
          k.symbols.remoe_relu_router_gradient(
            k.handle,
            dgates.address,
            dgates.address,
            gates.address,
            counts.address,
            0n,
            lambdaAddress(state),
            BalanceCode[balance],
            GateCode.relu,
            active,
            gradients.scale / (layers * tokens),
            0,
            tokens,
            experts,
          ),
          "gradient of the gates' L1 term",
        );
        accumulate(dgates, dy, 1);
      });
    },
  });
  return { gates: passed, sums: sumsOf(gates), balance: BalanceCode[balance] };
}

/** Sums over tokens, outside of any tape. */
function sumsOf<E extends number>(
  gates: DeviceTensor<"f32", readonly [number, E]>,
): DeviceTensor<"f32", readonly [E]> {
  using pause = gates.memory.openPause();
  const sums = unwrapped(sum(gates as DeviceTensor<"f32", readonly [number, number]>, { axis: 0 }));
  return pause.keep(sums) as unknown as DeviceTensor<"f32", readonly [E]>;
}
