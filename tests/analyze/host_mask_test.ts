import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { flipsBetween } from "../../lib/analyze/flip_rate.ts";
import {
  collectMasks,
  differingPairs,
  expertsOf,
  type HostMask,
  maskFrom,
  maskOf,
} from "../../lib/analyze/host_mask.ts";
import { ConfigError, Device, routingOf } from "../../mod.ts";
import { maskOfRows } from "./masks.ts";

/** Two matrices of one shape, with values of which many are 0. */
const twoMatrices = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 130 }))
  .chain(([tokens, experts]) => {
    const size = tokens * experts;
    const value = fc.constantFrom(0, 0, 0, 1, -0.5, 1e-30, NaN);
    const values = fc.array(value, { minLength: size, maxLength: size });
    return fc.record({
      tokens: fc.constant(tokens),
      experts: fc.constant(experts),
      first: values,
      second: values,
    });
  });

Deno.test("a mask holds the pairs whose value is not 0, for any number of experts", () => {
  fc.assert(fc.property(twoMatrices, ({ tokens, experts, first, second }) => {
    const mask = maskFrom(first, tokens, experts);
    for (let token = 0; token < tokens; token++) {
      const row = first.slice(token * experts, (token + 1) * experts);
      const expected = row.flatMap((value, expert) => value !== 0 ? [expert] : []);
      assertEquals(expertsOf(mask, token), expected);
    }
    const differing = first.filter((value, i) => (value !== 0) !== (second[i] !== 0)).length;
    assertEquals(differingPairs(mask, maskFrom(second, tokens, experts)), differing);
  }));
});

Deno.test("`maskOf()` copies the mask of a routing", async () => {
  using device = await Device.open({ kind: "cpu" });
  const gates = device.from([0, 2, 0.5, 0, 0, 0], [2, 3]);
  const mask = maskOfRows("011", "000");
  // What is selected counts, even where its gate is 0.
  const selected = device.from([1, 1, 0, 0, 0, 1], [2, 3]);
  assertEquals(maskOf(routingOf(gates, { selected })), maskOfRows("110", "001"));
  assertEquals(maskOf(routingOf(gates)), mask);
  assertEquals(collectMasks(1, (onRouting) => onRouting(0, routingOf(gates))), [mask]);
  assertThrows(
    () => collectMasks(3, (onRouting) => onRouting(1, routingOf(gates))),
    ConfigError,
    "Cannot observe the routing of layer 0",
  );
});

Deno.test("flips follow equation 14, written out plainly", () => {
  const before = [maskOfRows("1100", "0001"), maskOfRows("1000", "0000")];
  const now = [maskOfRows("1010", "0001"), maskOfRows("1111", "0000")];
  // Layer 0 flips two pairs, layer 1 three, of 2 tokens x 4 experts each.
  const { rate, count, ratePerLayer } = flipsBetween(before, now);
  assertEquals(ratePerLayer, [2 / 8, 3 / 8]);
  assertAlmostEquals(rate, 5 / (2 * 2 * 4), 1e-15);
  assertAlmostEquals(count, 4 * rate, 1e-15);
  assertEquals(flipsBetween(now, now).rate, 0);
  // Every pair flips.
  const all: HostMask[] = [maskOfRows("1111")];
  assert(flipsBetween([maskOfRows("0000")], all).rate === 1);
});
