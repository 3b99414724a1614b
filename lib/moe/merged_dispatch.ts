/** Sends each token to one merged network, and counts what the experts contributed. @module */

import { embedding } from "../autograd/embedding.ts";
import { cast } from "../autograd/layout.ts";
import { writtenTensor } from "../autograd/made_tensors.ts";
import { matmul } from "../autograd/matmul.ts";
import { stateAddress, type StepState } from "../autograd/step_state.ts";
import { shift } from "../autograd/unary.ts";
import { BalanceCode } from "../ffi/codes.ts";
import { i32, operands } from "../tensor/operands.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { dispatchPlan } from "./dispatch_plan.ts";
import { routingMask } from "./routing_mask.ts";

/** Dispatch of each token to its own network. */
export interface MergedDispatch {
  /** `[T, N]`, 1 at each token's network, else 0. */
  readonly gates: DeviceTensor<"f32", readonly [number, number]>;
  /** The dispatch plan; T rows. */
  readonly plan: DeviceTensor<"i32">;
}

/** Gates and plan that send token t to the network `networkOf[t]` of `networks`. */
export function oneNetworkEach(
  networkOf: DeviceTensor<"i32", readonly [number]>,
  networks: number,
): MergedDispatch {
  const { memory } = networkOf;
  const identity = new Float32Array(networks * networks);
  for (let n = 0; n < networks; n++) identity[n * (networks + 1)] = 1;
  const rows = writtenTensor(memory, "f32", identity, [networks, networks] as const);
  const [gates] = operands(
    "dispatch to merged networks with",
    embedding(rows, networkOf),
  );
  const { mask, counts } = routingMask(gates);
  counts[Symbol.dispose]();
  const plan = dispatchPlan(mask, networkOf.size, networks, networkOf.size);
  mask[Symbol.dispose]();
  return { gates, plan };
}

/**
 * Adds to a layer's statistics the weight of each expert, in tokens and rounded: T tokens at weight
 * 1/2 count as T/2. The counts of a layer thus sum to about T, as if it chose one expert.
 */
export function recordMerging(
  state: StepState,
  layer: number,
  { weights, plan, tokens }: {
    readonly weights: DeviceTensor<"f32", readonly [number, number]>;
    readonly plan: DeviceTensor<"i32">;
    readonly tokens: readonly number[];
  },
): void {
  const { memory, shape: [networks, experts] } = weights;
  const { kernels: k } = memory;
  // The statistics need no gradient.
  using _pause = memory.openPause();
  const sizes = writtenTensor(memory, "f32", tokens, [1, networks] as const);
  const total = tokens.reduce((sum, count) => sum + count, 0);
  const [counts] = operands("count", i32(cast(shift(matmul(sizes, weights), 0.5), "i32")));
  k.check(
    k.symbols.remoe_state_record_routing(
      k.handle,
      stateAddress(state, "record routing in"),
      layer,
      plan.address,
      counts.address,
      0n,
      BalanceCode.none,
      1,
      total,
      experts,
    ),
    "record routing",
  );
}
