import { type OperationCase, operationCase, output } from "./case.ts";
import { drawGates } from "./dispatch_plan.ts";
import { routingOf } from "./reference/router.ts";
import { EXACT } from "./tolerance.ts";

/** Sizes of a routing given by values. */
export interface RoutingMaskOptions {
  /** T. */
  readonly tokens: number;
  /** E. */
  readonly experts: number;
  /** Share of the values other than 0. */
  readonly density: number;
  /** Values to put in place of the first ones. */
  readonly first?: readonly number[];
}

/**
 * A case of `remoe_routing_mask`; half of the values other than 0 are negative.
 *
 * @param options Sizes and density.
 * @returns The case.
 */
export function routingMaskCase(options: RoutingMaskOptions): OperationCase {
  const { tokens, experts, density, first = [] } = options;
  const words = Math.ceil(experts / 32);
  return operationCase({
    name: `routing_mask [${tokens},${experts}] density ${density}` +
      `${first.length === 0 ? "" : ` from ${first.map(String).join(" ")}`}`,
    operation: "routing_mask",
    symbols: ["remoe_routing_mask"],
    flops: 0,
    bytes: 4 * (tokens * (experts + words) + experts),
    inputs: (random) => {
      const values = drawGates(random, options).map((gate) => random.next() < 0.5 ? -gate : gate);
      values.set(first);
      return { values };
    },
    outputs: {
      mask: output([tokens, words], EXACT, "i32"),
      counts: output([experts], EXACT, "i32"),
    },
    call(k, at) {
      const status = k.symbols.remoe_routing_mask(
        k.handle,
        at("mask"),
        at("counts"),
        at("values"),
        tokens,
        experts,
      );
      k.check(status, "routing_mask");
    },
    reference: ({ values }) => ({ ...routingOf(values, experts) }),
  });
}

/** Cases of the mask of given values. */
export const ROUTING_MASK_CASES: readonly OperationCase[] = [
  ...[1, 7, 31, 32, 33, 64, 65, 128, 200].map((experts) =>
    routingMaskCase({ tokens: 67, experts, density: 0.4 })
  ),
  routingMaskCase({ tokens: 1, experts: 1, density: 1 }),
  routingMaskCase({ tokens: 1, experts: 40, density: 0 }),
  routingMaskCase({ tokens: 1000, experts: 8, density: 1 }),
  routingMaskCase({ tokens: 513, experts: 100, density: 0.02 }),
  routingMaskCase({
    ...{ tokens: 33, experts: 9, density: 0.3 },
    first: [NaN, -0, Infinity, 1e-45, 0, -1e-45, -Infinity],
  }),
];
