import { type OperationCase, operationCase, output } from "./case.ts";
import { hashGates, routingOf } from "./reference/router.ts";
import { EXACT } from "./tolerance.ts";

/** Sizes of a hash router. */
export interface HashRouterOptions {
  /** T. */
  readonly tokens: number;
  /** E. */
  readonly experts: number;
  /** Ids to put in place of the first ones. */
  readonly first?: readonly number[];
}

/** Larger than any vocabulary in use. */
const VOCABULARY = 300_000;

/**
 * A case of `remoe_hash_router_forward`.
 *
 * @param options Sizes and ids.
 * @returns The case.
 */
export function hashRouterCase({ tokens, experts, first = [] }: HashRouterOptions): OperationCase {
  const words = Math.ceil(experts / 32);
  return operationCase({
    name: `hash_router_forward [${tokens}] to ${experts} experts` +
      `${first.length === 0 ? "" : ` from ${first.join(" ")}`}`,
    operation: "hash_router_forward",
    symbols: ["remoe_hash_router_forward"],
    flops: 0,
    bytes: 4 * (tokens * (1 + experts + words) + experts),
    inputs: (random) => {
      const token_ids = Int32Array.from({ length: tokens }, () => random.integer(VOCABULARY));
      token_ids.set(first);
      return { token_ids };
    },
    outputs: {
      gates: output([tokens, experts], EXACT),
      mask: output([tokens, words], EXACT, "i32"),
      counts: output([experts], EXACT, "i32"),
    },
    call(k, at) {
      const status = k.symbols.remoe_hash_router_forward(
        k.handle,
        at("gates"),
        at("mask"),
        at("counts"),
        at("token_ids"),
        tokens,
        experts,
      );
      k.check(status, "hash_router_forward");
    },
    reference: ({ token_ids }) => {
      const gates = hashGates(token_ids, experts);
      return { gates, ...routingOf(gates, experts) };
    },
  });
}

/** Cases of the hash router. */
export const HASH_ROUTER_CASES: readonly OperationCase[] = [
  hashRouterCase({ tokens: 1, experts: 1 }),
  ...[7, 8, 31, 32, 33, 64, 65, 128].map((experts) => hashRouterCase({ tokens: 67, experts })),
  hashRouterCase({ tokens: 1000, experts: 8 }),
  hashRouterCase({ tokens: 513, experts: 200 }),
  hashRouterCase({
    ...{ tokens: 20, experts: 7 },
    first: [-1, -7, -8, 0, 2 ** 31 - 1, -(2 ** 31)],
  }),
];
