/** The library's implementation of Routing, shared by all routers. @module */

import { BalanceCode } from "../ffi/codes.ts";
import { showsItself, table } from "../tensor/display.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { download } from "../tensor/transfer.ts";
import { addZLoss, stateAddress, type StepState } from "../autograd/step_state.ts";
import type { Routing } from "./routing.ts";

/** Gates and their statistics, as the kernels wrote them. */
export class Routed<T extends number, E extends number> implements Routing<T, E> {
  readonly #isOne = true;

  static {
    showsItself(Routed, ({ gates, counts }) => ({
      kind: "Routing",
      facts: { tokens: gates.shape[0], experts: gates.shape[1] },
      place: gates.place,
      content: () =>
        table(["expert", "tokens"], [...download(counts)].map((count, e) => [`${e}`, `${count}`])),
    }));
  }

  constructor(
    readonly gates: DeviceTensor<"f32", readonly [T, E]>,
    /** One bit per pair that is routed: a routed pair's gate may be 0. */
    readonly mask: DeviceTensor<"i32">,
    readonly counts: DeviceTensor<"i32", readonly [E]>,
    /**
     * Per expert, the sum over tokens of its gates (ReLU) or probabilities (TopK), if kept; times
     * the expert's weight where no count gives it, under `BalanceCode.plain`.
     */
    readonly sums: DeviceTensor<"f32", readonly [E]> | null,
    /** One of `BalanceCode`. */
    readonly balance: number,
    /** Target of active experts per token. */
    readonly active: number,
    /** The z-loss summed over tokens, `[1]`, if the router has one. */
    readonly zSum: DeviceTensor<"f32"> | null = null,
  ) {
    // Kernels read as many counts and sums as the gates have experts: no field may be replaced.
    Object.freeze(this);
  }

  /** True for a real instance; an object that merely inherits from one could shadow its fields. */
  static isOne(value: object): value is Routed<number, number> {
    return #isOne in value;
  }

  sparsity(): Promise<number> {
    const routed = download(this.counts).reduce((total, count) => total + count, 0);
    return Promise.resolve(1 - routed / this.gates.size);
  }

  regularization(): Promise<number> {
    if (this.sums === null || this.balance === BalanceCode.none) return Promise.resolve(0);
    const [tokens, experts] = this.gates.shape;
    const counts = download(this.counts);
    const weighted = download(this.sums).reduce((total, sum, e) => {
      if (this.balance === BalanceCode.plain) return total + sum;
      const share = experts * counts[e]! / (this.active * tokens);
      return total + (this.balance === BalanceCode.loadSquared ? share ** 2 : share) * sum;
    }, 0);
    return Promise.resolve(weighted / tokens);
  }

  /** Adds the statistics to the step's record of `layer`; the caller has checked both sizes. */
  recordIn(state: StepState, layer: number, plan: DeviceTensor<"i32">): void {
    const { kernels: k } = plan.memory;
    const [tokens, experts] = this.gates.shape;
    k.check(
      k.symbols.remoe_state_record_routing(
        k.handle,
        stateAddress(state, "record routing in"),
        layer,
        plan.address,
        this.counts.address,
        this.sums?.address ?? 0n,
        this.balance,
        this.active,
        tokens,
        experts,
      ),
      "record routing",
    );
    if (this.zSum !== null) addZLoss(state, this.zSum);
  }
}
