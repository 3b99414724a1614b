import { type OperationCase, operationCase, output } from "./case.ts";
import type { Random } from "./random.ts";
import { columnSums } from "./reference/router.ts";
import { transportWeights } from "./reference/transport.ts";
import { rounded } from "./tolerance.ts";

/** Sizes of a case of `remoe_transport_weights`. */
export interface TransportOptions {
  /** T. */
  readonly tokens: number;
  /** E. */
  readonly experts: number;
  /** Fraction of the gates that are open, by default an eighth. */
  readonly density?: number;
  /** Rounds of scaling, by default 8. */
  readonly iterations?: number;
  /** By default 4. */
  readonly sharpness?: number;
}

/**
 * A case of `remoe_transport_weights`, whose gates favour the first experts.
 *
 * @param options Sizes.
 * @returns The case.
 */
export function transportWeightsCase(options: TransportOptions): OperationCase {
  const { tokens, experts, density = 1 / 8, iterations = 8, sharpness = 4 } = options;
  return operationCase({
    name: `transport_weights [${tokens},${experts}] density ${density} rounds ${iterations} ` +
      `sharpness ${sharpness}`,
    operation: "transport_weights",
    symbols: ["remoe_transport_weights"],
    flops: 4 * iterations * tokens * experts,
    bytes: 4 * (tokens * experts + 3 * experts),
    inputs: (random) => {
      const gates = skewedGates(random, tokens, experts, density);
      return { gates, gate_sums: Float32Array.from(columnSums(gates, experts)) };
    },
    outputs: {
      weights: output([experts], rounded(4)),
      weighted_sums: output([experts], rounded(8)),
    },
    call(k, at) {
      const status = k.symbols.remoe_transport_weights(
        k.handle,
        at("weights"),
        at("weighted_sums"),
        at("gates"),
        at("gate_sums"),
        sharpness,
        iterations,
        tokens,
        experts,
      );
      k.check(status, "transport_weights");
    },
    reference: ({ gates, gate_sums }) => {
      const weights = transportWeights(gates, experts, sharpness, iterations);
      return { weights, weighted_sums: weights.map((weight, e) => weight * gate_sums[e]!) };
    },
  });
}

/** Gates of which the first experts have more, and larger ones. */
function skewedGates(
  random: Random,
  tokens: number,
  experts: number,
  density: number,
): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: tokens * experts }, (_, i) => {
    const share = 2 * density * (1 - (i % experts) / experts);
    return random.next() < share ? (0.1 + random.next()) * (0.5 + share) : 0;
  });
}

/** Cases of the transport's weights. */
export const TRANSPORT_WEIGHTS_CASES: readonly OperationCase[] = [
  transportWeightsCase({ tokens: 1, experts: 1, density: 1 }),
  transportWeightsCase({ tokens: 5, experts: 1, density: 0.5 }),
  transportWeightsCase({ tokens: 257, experts: 8 }),
  transportWeightsCase({ tokens: 300, experts: 33, iterations: 1 }),
  transportWeightsCase({ tokens: 130, experts: 128, iterations: 3 }),
  transportWeightsCase({ tokens: 3, experts: 300, iterations: 2 }),
  transportWeightsCase({ tokens: 40, experts: 7, density: 0 }),
  transportWeightsCase({ tokens: 140, experts: 5, density: 1, sharpness: 0 }),
  // Differences whose exponential is too small for fp64.
  transportWeightsCase({ tokens: 140, experts: 5, density: 1, sharpness: 1e4 }),
];
