import { planRowToken, PlanWord } from "../../lib/ffi/mod.ts";
import { type OperationCase, operationCase, output } from "./case.ts";
import { Random } from "./random.ts";
import { dispatchPlan, planBuffer } from "./reference/dispatch_plan.ts";
import { routingOf } from "./reference/router.ts";
import { EXACT } from "./tolerance.ts";

/** Sizes of a dispatch. */
export interface DispatchOptions {
  /** T. */
  readonly tokens: number;
  /** E. */
  readonly experts: number;
  /** Share of the pairs that are active. */
  readonly density: number;
  /** Spare capacity in rows; negative overflows. */
  readonly spare?: number;
  /** An expert to leave without tokens. */
  readonly emptyExpert?: number;
  /** Sets the bits of each token's last word that are no expert's, which nothing reads. */
  readonly strayBits?: boolean;
}

/**
 * Draws gates of a given density.
 *
 * @param random The generator.
 * @param options Sizes, density and an expert to leave empty.
 * @returns Gates [T, E] in [0.1, 1.9], 0 where a token is not routed.
 */
export function drawGates(random: Random, options: DispatchOptions): Float32Array<ArrayBuffer> {
  const { tokens, experts, density, emptyExpert } = options;
  return random.uniform(tokens * experts, { scale: 0.9, mean: 1 }).map((gate, i) =>
    random.next() < density && i % experts !== emptyExpert ? gate : 0
  );
}

/**
 * A case of `remoe_dispatch_plan`.
 *
 * @param options Sizes, density and capacity.
 * @returns The case.
 */
export function dispatchPlanCase(options: DispatchOptions): OperationCase {
  const { tokens, experts, density, spare = 0, emptyExpert, strayBits = false } = options;
  // The capacity is part of the call, so the mask is drawn before the case is made.
  const name = `dispatch_plan [${tokens},${experts}] density ${density} spare ${spare}` +
    `${emptyExpert === undefined ? "" : ` expert ${emptyExpert} empty`}` +
    `${strayBits ? " stray bits" : ""}`;
  const gates = drawGates(new Random(name), options);
  const mask = Int32Array.from(routingOf(gates, experts).mask);
  if (strayBits) setStrayBits(mask, experts);
  const plan = dispatchPlan(gates, tokens, experts);
  const capacity = Math.max(1, plan.rows + spare);
  const expected = planBuffer(plan, capacity);
  const isDefined = definedEntries(expected.length, plan.rows, tokens, experts, capacity);
  return operationCase({
    name,
    operation: "dispatch_plan",
    symbols: ["remoe_dispatch_plan"],
    flops: 0,
    bytes: 4 * (mask.length + 6 + experts + tokens + 2 * plan.rows),
    inputs: () => ({ mask }),
    outputs: { plan: output([expected.length], EXACT, "i32") },
    call(k, at) {
      const status = k.symbols.remoe_dispatch_plan(
        k.handle,
        at("plan"),
        at("mask"),
        tokens,
        experts,
        capacity,
      );
      k.check(status, "dispatch_plan");
    },
    defined: (outputs) => ({ plan: Array.from(outputs.plan).filter((_, i) => isDefined(i)) }),
    reference: () => ({ plan: expected.filter((_, i) => isDefined(i)) }),
  });
}

function setStrayBits(mask: Int32Array, experts: number): void {
  const words = Math.ceil(experts / 32);
  for (let last = words - 1; last < mask.length; last += words) mask[last]! |= -1 << experts % 32;
}

/** Rows past N are undefined, and an overflowing plan defines only its header. */
function definedEntries(
  length: number,
  rows: number,
  tokens: number,
  experts: number,
  capacity: number,
): (index: number) => boolean {
  if (rows > capacity) return (index) => index < PlanWord.header;
  const fixed = planRowToken(tokens, experts);
  return (index) => index < length && (index < fixed || (index - fixed) % capacity < rows);
}

/** Cases of the dispatch plan. */
export const DISPATCH_PLAN_CASES: readonly OperationCase[] = [
  dispatchPlanCase({ tokens: 1, experts: 1, density: 1 }),
  dispatchPlanCase({ tokens: 1, experts: 1, density: 0 }),
  dispatchPlanCase({ tokens: 7, experts: 3, density: 0.5 }),
  dispatchPlanCase({ tokens: 1000, experts: 8, density: 0.125, spare: 100 }),
  dispatchPlanCase({ tokens: 1000, experts: 8, density: 1 }),
  dispatchPlanCase({ tokens: 513, experts: 33, density: 0.1, spare: 1 }),
  dispatchPlanCase({ tokens: 300, experts: 128, density: 0.02 }),
  dispatchPlanCase({ tokens: 4096, experts: 8, density: 0.4 }),
  dispatchPlanCase({ tokens: 65, experts: 4, density: 0, spare: 10 }),
  dispatchPlanCase({ tokens: 65, experts: 4, density: 0.6, emptyExpert: 2 }),
  dispatchPlanCase({ tokens: 65, experts: 1, density: 0.5, spare: 3 }),
  dispatchPlanCase({ tokens: 100, experts: 8, density: 0.5, spare: -1 }),
  dispatchPlanCase({ tokens: 100, experts: 8, density: 0.5, spare: -300 }),
  ...[31, 32, 64, 65, 96, 200].map((experts) =>
    dispatchPlanCase({ tokens: 97, experts, density: 0.2, spare: 5 })
  ),
  dispatchPlanCase({ tokens: 70, experts: 64, density: 1 }),
  dispatchPlanCase({ tokens: 33, experts: 9, density: 0.3, strayBits: true }),
  dispatchPlanCase({ tokens: 33, experts: 63, density: 0, spare: 4, strayBits: true }),
];
