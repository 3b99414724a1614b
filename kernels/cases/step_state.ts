import {
  BalanceCode,
  LambdaCode,
  PlanWord,
  RecordField,
  stateRecord,
  StateSlot,
} from "../../lib/ffi/mod.ts";
import { type OperationCase, operationCase, output } from "./case.ts";
import { drawGates } from "./dispatch_plan.ts";
import type { Random } from "./random.ts";
import { dispatchPlan, planBuffer } from "./reference/dispatch_plan.ts";
import { dot } from "./reference/reduction.ts";
import { type BalanceName, balanceWeights, columnSums, routingOf } from "./reference/router.ts";
import { EXACT, type Tolerance } from "./tolerance.ts";

/** The state consists of doubles; only sums over experts round. */
const FLOAT64: Tolerance = { rtol: 1e-12, atol: 0 };

/** A state in which every slot holds a different number, so that a stray write shows. */
function drawState(random: Random, layers: number, experts: number): Float64Array<ArrayBuffer> {
  const state = Float64Array.from(
    { length: stateRecord(layers, experts) },
    () => 1 + random.next(),
  );
  state[StateSlot.overflow] = 0;
  return state;
}

/**
 * A case of `remoe_state_begin`.
 *
 * @param layers Layers.
 * @param experts Experts of each.
 * @returns The case.
 */
export function stateBeginCase(layers: number, experts: number): OperationCase {
  const length = stateRecord(layers, experts);
  return operationCase({
    name: `state_begin of ${layers} layers, ${experts} experts`,
    operation: "state_begin",
    symbols: ["remoe_state_begin"],
    flops: 0,
    bytes: 8 * length,
    inputs: (random) => ({ state: drawState(random, layers, experts) }),
    outputs: { state: output([length], EXACT, "f64") },
    call(k, at) {
      const status = k.symbols.remoe_state_begin(k.handle, at("state"), layers, experts);
      k.check(status, "state_begin");
    },
    reference: ({ state }) => {
      const expected = state.slice().fill(0, StateSlot.header);
      const { activePairs, sparsity, loss, l1, balance, notFinite, overflow, gradientNorm } =
        StateSlot;
      for (
        const slot of [activePairs, sparsity, loss, l1, balance, notFinite, overflow, gradientNorm]
      ) expected[slot] = 0;
      expected[StateSlot.clipScale] = 1;
      return { state: expected };
    },
  });
}

/** `remoe_state_add` on the loss. */
function stateAddCase(): OperationCase {
  return operationCase({
    name: "state_add to the loss",
    operation: "state_add",
    symbols: ["remoe_state_add"],
    flops: 2,
    bytes: 20,
    inputs: (random) => ({ state: drawState(random, 1, 1), value: Float32Array.of(3.7) }),
    outputs: { state: output([stateRecord(1, 1)], FLOAT64, "f64") },
    call(k, at) {
      const addresses = [at("state"), StateSlot.loss, at("value")] as const;
      k.check(k.symbols.remoe_state_add(k.handle, ...addresses, 0.125), "state_add");
    },
    reference: ({ state, value }) => {
      const expected = state.slice();
      expected[StateSlot.loss]! += 0.125 * value[0]!;
      return { state: expected };
    },
  });
}

/** Variations of a `remoe_state_record_routing` case. */
export interface RecordRoutingOptions {
  /** The `balance` argument. */
  readonly balance: BalanceName;
  /** Passes no gate sums. */
  readonly withoutSums?: boolean;
  /** Whether the plan overflowed its capacity. */
  readonly overflow?: boolean;
  /** Factor of the counts, 1 by default: E times a count need not fit into 32 bits. */
  readonly factor?: number;
}

/**
 * A case of `remoe_state_record_routing`, on the second of three layers.
 *
 * @param options Variations.
 * @returns The case.
 */
export function recordRoutingCase(options: RecordRoutingOptions): OperationCase {
  const { balance, withoutSums = false, overflow = false, factor = 1 } = options;
  const [layers, layer, tokens, experts, active] = [3, 1, 50, 7, 2];
  const record = stateRecord(layer, experts);
  return operationCase({
    name: `state_record_routing ${balance}${withoutSums ? " without sums" : ""}` +
      `${overflow ? " overflowing" : ""}${factor === 1 ? "" : ` counts times ${factor}`}`,
    operation: "state_record_routing",
    symbols: ["remoe_state_record_routing"],
    flops: 3 * experts,
    bytes: 16 * (experts + RecordField.extra),
    inputs: (random) => {
      const gates = drawGates(random, { tokens, experts, density: 0.2 });
      const plan = dispatchPlan(gates, tokens, experts);
      return {
        state: drawState(random, layers, experts),
        plan: planBuffer(plan, overflow ? plan.rows - 1 : plan.rows),
        counts: Int32Array.from(routingOf(gates, experts).counts, (count) => count * factor),
        sums: Float32Array.from(columnSums(gates, experts)),
      };
    },
    outputs: { state: output([stateRecord(layers, experts)], FLOAT64, "f64") },
    call(k, at) {
      const status = k.symbols.remoe_state_record_routing(
        k.handle,
        at("state"),
        layer,
        at("plan"),
        at("counts"),
        withoutSums ? 0n : at("sums"),
        BalanceCode[balance],
        active,
        tokens,
        experts,
      );
      k.check(status, "state_record_routing");
    },
    reference: ({ state, plan, counts, sums }) => {
      const expected = state.slice();
      expected[record + RecordField.tokens]! += tokens;
      expected[record + RecordField.withoutExpert]! += plan[PlanWord.withoutExpert]!;
      counts.forEach((count, e) => expected[record + RecordField.extra + e]! += count);
      if (overflow) expected[StateSlot.overflow] = 1;
      if (withoutSums) return { state: expected };
      if (balance === "switch") {
        const loss = (experts * dot(counts, sums)) / (active * tokens ** 2);
        expected[record + RecordField.balance]! += tokens * loss;
      } else {
        const f = balanceWeights(balance, counts, tokens, active);
        expected[record + RecordField.regularization]! += dot(f, sums);
      }
      return { state: expected };
    },
  });
}

/** The starting point of a `remoe_state_update_lambda` case. */
export interface UpdateLambdaOptions {
  /** Names the case. */
  readonly label: string;
  /** Active pairs beyond the target, over all layers. */
  readonly excess: number;
  /** lambda before. */
  readonly lambda?: number;
  /** How lambda moves, by default by equation 7. */
  readonly rule?: keyof typeof LambdaCode;
  /** EXCESS before, by default 0. */
  readonly before?: number;
}

const FLOOR = 1e-10;
const CEILING = 1e4;
const ALPHA = 1.2;
const GAIN = 0.3;
const DAMPING = 0.7;

/**
 * A case of `remoe_state_update_lambda`.
 *
 * @param options The starting point.
 * @returns The case.
 */
export function updateLambdaCase(options: UpdateLambdaOptions): OperationCase {
  const { label, excess, lambda = 0.37, rule = "sign", before = 0 } = options;
  const [layers, experts, tokens, active] = [2, 8, 40, 1];
  const target = active * layers * tokens;
  return operationCase({
    name: `state_update_lambda ${label}`,
    operation: "state_update_lambda",
    symbols: ["remoe_state_update_lambda"],
    flops: 2 * layers * experts,
    bytes: 8 * stateRecord(layers, experts),
    inputs: (random) => {
      const state = drawState(random, layers, experts);
      state[StateSlot.lambda] = lambda;
      state[StateSlot.excess] = before;
      spreadPairs(random, state, layers, experts, target + excess);
      return { state };
    },
    outputs: { state: output([stateRecord(layers, experts)], FLOAT64, "f64") },
    call(k, at) {
      const status = k.symbols.remoe_state_update_lambda(
        k.handle,
        at("state"),
        layers,
        experts,
        active,
        tokens,
        ALPHA,
        FLOOR,
        CEILING,
        LambdaCode[rule],
        GAIN,
        DAMPING,
      );
      k.check(status, "state_update_lambda");
    },
    reference: ({ state }) => {
      const expected = state.slice();
      const records = Array.from(
        { length: layers },
        (_, layer) => state.subarray(stateRecord(layer, experts), stateRecord(layer + 1, experts)),
      );
      const sumOf = (field: number): number =>
        records.reduce((sum, record) => sum + record[field]!, 0);
      const pairs = target + excess;
      expected[StateSlot.activePairs] = pairs;
      expected[StateSlot.sparsity] = 1 - pairs / (experts * layers * tokens);
      expected[StateSlot.l1] = sumOf(RecordField.regularization) / (layers * tokens);
      expected[StateSlot.balance] = sumOf(RecordField.balance) / tokens;
      if (rule === "fixed") return { state: expected };
      const now = excess / target;
      const wanted = GAIN * now + DAMPING * (now - before);
      const most = Math.log(ALPHA);
      const change = rule === "sign"
        ? Math.sign(excess) * most
        : Math.min(most, Math.max(-most, wanted));
      const next = lambda * Math.exp(change);
      expected[StateSlot.lambda] = Math.min(CEILING, Math.max(FLOOR, next));
      if (rule === "proportional") expected[StateSlot.excess] = now;
      return { state: expected };
    },
  });
}

/** Replaces the counts with integers that sum to a given number of active pairs. */
function spreadPairs(
  random: Random,
  state: Float64Array,
  layers: number,
  experts: number,
  pairs: number,
): void {
  const slotOf = (layer: number, expert: number): number =>
    stateRecord(layer, experts) + RecordField.extra + expert;
  for (let layer = 0; layer < layers; layer++) {
    state.fill(0, slotOf(layer, 0), slotOf(layer, experts));
  }
  for (let i = 0; i < pairs; i++) {
    state[slotOf(random.integer(layers), random.integer(experts))]! += 1;
  }
}

/** Cases of the step state. */
export const STEP_STATE_CASES: readonly OperationCase[] = [
  stateBeginCase(1, 1),
  stateBeginCase(4, 33),
  stateAddCase(),
  ...(["none", "plain", "load", "switch", "loadSquared"] as const).map((balance) =>
    recordRoutingCase({ balance })
  ),
  recordRoutingCase({ balance: "load", withoutSums: true }),
  recordRoutingCase({ balance: "load", factor: 1e8 }),
  recordRoutingCase({ balance: "plain", overflow: true }),
  updateLambdaCase({ label: "above the target", excess: 1 }),
  updateLambdaCase({ label: "below the target", excess: -1 }),
  updateLambdaCase({ label: "at the target", excess: 0 }),
  updateLambdaCase({ label: "at the ceiling", excess: 200, lambda: CEILING / 1.1 }),
  updateLambdaCase({ label: "at the floor", excess: -30, lambda: FLOOR * 1.1 }),
  updateLambdaCase({ label: "without adapting", excess: 5, rule: "fixed" }),
  ...[-30, -1, 0, 1, 20, 500].flatMap((excess) =>
    [0, 0.25].map((before) =>
      updateLambdaCase({
        label: `in proportion to ${excess} after ${before}`,
        excess,
        before,
        rule: "proportional",
      })
    )
  ),
];
