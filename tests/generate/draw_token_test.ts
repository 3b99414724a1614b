import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ConfigError } from "../../lib/errors.ts";
import { type DrawOptions, drawToken, LogitsError } from "../../lib/generate/mod.ts";
import { StopFilter } from "../../lib/generate/stop_filter.ts";

const anyLogits = fc.array(fc.float({ min: -20, max: 20, noNaN: true }), {
  minLength: 1,
  maxLength: 60,
})
  .map((values) => Float32Array.from(values));
const anyUniform = fc.double({ min: 0, max: 0.9999999, noNaN: true });

/** The k likeliest that are also in the nucleus, by definition: summed until p is reached. */
function allowed(
  logits: Float32Array,
  temperature: number,
  topK: number,
  topP: number,
): Set<number> {
  const largest = Math.max(...logits);
  // Sorted by logits, since weights of different logits may round to the same number.
  const sorted = Array.from(logits, (logit, token) => ({
    token,
    logit,
    weight: Math.exp((logit - largest) / temperature),
  })).sort((a, b) => b.logit - a.logit || a.token - b.token);
  const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
  const tokens = new Set<number>();
  let mass = 0;
  // Generous by more than the sums round: a token on the border may be drawn or not.
  for (const { token, weight } of sorted) {
    if (tokens.size === topK || tokens.size > 0 && mass >= topP * total * (1 + 1e-12)) break;
    tokens.add(token);
    mass += weight;
  }
  return tokens;
}

Deno.test("`drawToken()` draws only from the k likeliest and from the nucleus", () => {
  const options = fc.record({
    temperature: fc.double({ min: 0.1, max: 3, noNaN: true }),
    topK: fc.integer({ min: 1, max: 70 }),
    topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(anyLogits, anyUniform, options, (logits, uniform, options) => {
      const { temperature, topK, topP } = options;
      assert(allowed(logits, temperature, topK, topP).has(drawToken(logits, uniform, options)));
    }),
    {
      examples: [
        [Float32Array.of(-1e-45, 0), 0, { temperature: 1, topK: 1, topP: 1 }],
        // The unlikely token has 1e-12 of the mass, and is drawn by 0.
        [Float32Array.of(0, 2.763082265853882), 0, { temperature: 0.1, topK: 2, topP: 1 }],
      ],
    },
  );
});

Deno.test("the likeliest token is the same at a temperature that makes all weights equal", () => {
  const logits = Float32Array.of(0, 1, 3, 2);
  for (const uniform of [0, 0.5, 0.99]) {
    assertEquals(drawToken(logits, uniform, { temperature: 1e300, topK: 1 }), 2);
  }
});

/** The tokens that can be drawn. */
function drawn(probabilities: readonly number[], options: DrawOptions, draws = 20_000) {
  const logits = Float32Array.from(probabilities, Math.log);
  const tokens = new Set<number>();
  for (let i = 0; i < draws; i++) tokens.add(drawToken(logits, i / draws, options));
  return tokens;
}

Deno.test("the nucleus is taken over all tokens, including a long unlikely tail", () => {
  const probabilities = [...Array(20).fill(0.0451), ...Array(980).fill(1e-4)] as number[];
  const mass = (tokens: Set<number>) =>
    [...tokens].reduce((sum, token) => sum + probabilities[token]!, 0);
  const nucleus = drawn(probabilities, { topP: 0.9 });
  assertEquals(nucleus.size, 20);
  assertAlmostEquals(mass(nucleus), 0.902);
  // The smaller of the two cuts wins: 0.9 of what k leaves would be 9 tokens.
  assertEquals(drawn(probabilities, { topP: 0.9, topK: 10 }).size, 10);
  assertEquals(drawn(probabilities, { topP: 0.3, topK: 10 }).size, 7);
  assertEquals(drawn(probabilities, { topP: 1 }).size, 1000);
  assertEquals([...drawn(probabilities, { topP: 1e-300 })], [0]);
});

Deno.test("rounding of sums does not widen the nucleus", () => {
  for (const [p, size] of [[0.07, 7], [0.29, 29], [0.57, 57], [0.9, 90]] as const) {
    assertEquals(drawn(Array(100).fill(0.01), { topP: p }).size, size);
  }
});

Deno.test("a random number next to 1 and the lowest temperature draw valid tokens", () => {
  const below = 1 - 2 ** -53;
  const logits = Float32Array.of(-Infinity, 2, 1, 0, -Infinity);
  assertEquals(drawToken(logits, 0), 1);
  assertEquals(drawToken(logits, below), 3);
  assertEquals(drawToken(logits, below, { topK: 2 }), 2);
  assertEquals(drawToken(logits, below, { temperature: 5e-324 }), 1);
  assertEquals(drawToken(logits, below, { temperature: 1e300 }), 3);
});

Deno.test("`drawToken()` refuses invalid logits and options", () => {
  for (const bad of [NaN, Infinity]) {
    for (const temperature of [0, 1]) {
      const logits = Float32Array.of(1, bad, 2);
      assertThrows(() => drawToken(logits, 0.5, { temperature }), LogitsError, `token 1 is ${bad}`);
    }
  }
  assertThrows(() => drawToken(Float32Array.of(-Infinity), 0.5), LogitsError, "all logits");
  assertThrows(() => drawToken(new Float32Array(0), 0.5), LogitsError, "no logits");
  const wrong: [number, object, string][] = [
    [1, {}, "uniform is 1"],
    [NaN, {}, "uniform is NaN"],
    [0, { temperature: -1 }, "temperature is -1"],
    [0, { temperature: Infinity }, "temperature is Infinity"],
    [0, { temperature: "1" }, "temperature is 1"],
    [0, { topK: 0 }, "top-k is 0"],
    [0, { topK: 1.5 }, "top-k is 1.5"],
    [0, { topP: 0 }, "top-p is 0"],
    [0, { topP: NaN }, "top-p is NaN"],
  ];
  for (const [uniform, options, message] of wrong) {
    assertThrows(() => drawToken(Float32Array.of(1, 2), uniform, options), ConfigError, message);
  }
  const list = [1, 2] as unknown as Float32Array;
  assertThrows(() => drawToken(list, 0.5), ConfigError, "not a Float32Array");
});

Deno.test("`drawToken()` draws each token with its probability", () => {
  const logits = Float32Array.of(1, 2, 0, -1);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 10_000; i++) counts[drawToken(logits, (i + 0.5) / 10_000)]!++;
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  logits.forEach((logit, token) =>
    assert(Math.abs(counts[token]! - 10_000 * Math.exp(logit) / total) <= 1)
  );
});

Deno.test("`drawToken()` takes the likeliest token, the lower among equals, at temperature 0", () => {
  assertEquals(drawToken(Float32Array.of(1, 3, 3), 0.99, { temperature: 0 }), 1);
});

Deno.test("`StopFilter` ends at the first stop string, however the text is split", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 30 });
  const stops = fc.array(
    fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 }),
  );
  fc.assert(fc.property(letters, stops, fc.integer({ min: 1, max: 4 }), (text, stops, size) => {
    const filter = new StopFilter(stops);
    let out = "";
    for (let i = 0; i < text.length; i += size) out += filter.push(text.slice(i, i + size));
    out += filter.end();
    // If two stop strings overlap, the one completed first ends the text.
    const ends = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (ends.length === 0) assertEquals(out, text);
    else {assert(
        filter.isStopped && text.startsWith(out) && !stops.some((stop) => out.includes(stop)),
      );}
  }));
});
