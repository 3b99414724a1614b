import { DistributionCode } from "../../lib/ffi/mod.ts";
import { type OperationCase, operationCase, output } from "./case.ts";
import { type Draw, randomNumbers } from "./reference/philox.ts";
import { rounded } from "./tolerance.ts";

/** The draw of a `remoe_random` case. */
export interface RandomCaseOptions extends Draw {
  /** The distribution. */
  readonly distribution: "uniform" | "normal";
  /** How many. */
  readonly count: number;
  /** Lower end, or mean. */
  readonly a: number;
  /** Upper end, or standard deviation. */
  readonly b: number;
}

/**
 * A case of `remoe_random`.
 *
 * @param options The draw.
 * @returns The case.
 */
export function randomCase(options: RandomCaseOptions): OperationCase {
  const { distribution, count, a, b, seed, operation, step } = options;
  // A kernel may round u1 to fp32; errors of its logarithm and of a cosine near 0 are absolute.
  const spread = distribution === "uniform" ? Math.max(Math.abs(a), Math.abs(b)) : 4 * b;
  const isUnit = distribution === "uniform" && a === 0 && b === 1;
  return operationCase({
    name: `random ${distribution}[${count}] ${a} to ${b} seed ${seed} at ${operation}, ${step}`,
    operation: "random",
    symbols: ["remoe_random"],
    flops: 0,
    bytes: 4 * count,
    inputs: () => ({}),
    outputs: { target: output([count], isUnit ? { rtol: 0, atol: 0 } : rounded(4, spread)) },
    call(k, at) {
      const status = k.symbols.remoe_random(
        k.handle,
        DistributionCode[distribution],
        at("target"),
        BigInt(count),
        a,
        b,
        seed,
        operation,
        step,
      );
      k.check(status, "random");
    },
    reference: () => ({ target: randomNumbers(distribution, count, a, b, options) }),
  });
}

const SEED = 0x0123_4567_89ab_cdefn;

/** Cases of random numbers. */
export const RANDOM_CASES: readonly OperationCase[] = (["uniform", "normal"] as const).flatMap((
  distribution,
) => [
  randomCase({ distribution, count: 1, a: 0, b: 1, seed: 0n, operation: 0, step: 0 }),
  randomCase({ distribution, count: 1003, a: 0, b: 1, seed: SEED, operation: 7, step: 3 }),
  randomCase({ distribution, count: 70_001, a: 0, b: 1, seed: SEED, operation: 1, step: 0 }),
  randomCase({
    distribution,
    count: 33,
    a: -2.5,
    b: 0.75,
    seed: 2n ** 64n - 1n,
    operation: 2 ** 32 - 1,
    step: 2 ** 32 - 1,
  }),
]);
