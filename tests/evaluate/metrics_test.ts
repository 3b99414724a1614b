/** Metrics against values computed by hand. */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import { bootstrapError } from "../../lib/evaluate/bootstrap.ts";
import { aggregate, itemMetric, standardErrorOf } from "../../lib/evaluate/metrics.ts";
import type { Score } from "../../lib/evaluate/scorer.ts";

function scores(...values: number[]): Score[] {
  return values.map((logLikelihood) => ({ logLikelihood, isGreedy: false }));
}

function item(continuations: readonly string[], gold: number) {
  return { context: "", continuations, gold };
}

Deno.test("acc takes the largest log-likelihood, acc_norm the largest per character", () => {
  // Per character: -3 / 2 and -4 / 4.
  const two = item([" ab", " abcd"], 1);
  assertEquals(itemMetric("acc", two, scores(-3, -4)), 0);
  assertEquals(itemMetric("acc_norm", two, scores(-3, -4)), 1);
  // An emoji is one character as Python counts, the space before a choice none: -2 / 1, -3 / 2.
  const emoji = item([" \u{1f600}", " xy"], 0);
  assertEquals(itemMetric("acc_norm", emoji, scores(-2, -3)), 0);
  assertEquals(itemMetric("acc_norm", emoji, scores(-1.4, -3)), 1);
});

Deno.test("of equal answers the first counts", () => {
  assertEquals(itemMetric("acc", item([" a", " b"], 0), scores(-1, -1)), 1);
  assertEquals(itemMetric("acc", item([" a", " b"], 1), scores(-1, -1)), 0);
  assertEquals(itemMetric("acc_norm", item([" ab", " a"], 0), scores(-2, -1)), 1);
  assertEquals(itemMetric("acc_norm", item([" ab", " a"], 1), scores(-2, -1)), 0);
});

Deno.test("a single continuation is right if every token is the likeliest", () => {
  const word = item([" word"], 0);
  assertEquals(itemMetric("acc", word, [{ logLikelihood: -9, isGreedy: true }]), 1);
  assertEquals(itemMetric("acc", word, scores(-0.1)), 0);
  assertEquals(itemMetric("perplexity", word, scores(-0.1)), -0.1);
});

Deno.test("standard errors divide the sample's deviation by the root of n", () => {
  // Deviation of 1, 0, 0, 1 with n - 1: sqrt(1 / 3); divided by 2.
  assertAlmostEquals(standardErrorOf([1, 0, 0, 1])!, Math.sqrt(1 / 3) / 2, 1e-15);
  assertEquals(standardErrorOf([1]), null);
  assertEquals(standardErrorOf([0, 0, 0]), 0);
  assertEquals(aggregate("acc", [1, 0, 0, 1]).value, 0.5);
});

Deno.test("perplexity is exp of the negative mean, with a bootstrapped error", () => {
  const values = Array.from({ length: 100 }, (_, i) => -(i % 20) / 10);
  const mean = -0.95;
  const { value, standardError } = aggregate("perplexity", values);
  assertAlmostEquals(value, Math.exp(0.95), 1e-12);
  // To first order: exp(-mean) times the deviation of the mean, here with n.
  const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 100 / 100);
  assertAlmostEquals(standardError!, value * deviation, 0.03 * value * deviation);
  assertEquals(aggregate("perplexity", values).standardError, standardError);
  assertEquals(aggregate("perplexity", [-1]), { value: Math.E, standardError: null });
  assertEquals(bootstrapError([2, 2, 2], (mean) => mean, 100), 0);
});
