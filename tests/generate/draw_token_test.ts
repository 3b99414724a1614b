import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { drawToken } from "../../lib/generate/mod.ts";
import { StopFilter } from "../../lib/generate/stop_filter.ts";

const anyLogits = fc.array(fc.float({ min: -20, max: 20, noNaN: true }), {
  minLength: 1,
  maxLength: 60,
})
  .map((values) => Float32Array.from(values));
const anyUniform = fc.double({ min: 0, max: 0.9999999, noNaN: true });

/** The nucleus of the k likeliest by definition: sorted, added up until p is reached. */
function allowed(
  logits: Float32Array,
  temperature: number,
  topK: number,
  topP: number,
): Set<number> {
  const largest = Math.max(...logits);
  const sorted = Array.from(logits, (logit, token) => ({
    token,
    weight: Math.exp((logit - largest) / temperature),
  })).sort((a, b) => b.weight - a.weight || a.token - b.token).slice(0, topK);
  const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
  const tokens = new Set<number>();
  let mass = 0;
  for (const { token, weight } of sorted) {
    if (tokens.size > 0 && mass >= topP * total) break;
    tokens.add(token);
    mass += weight;
  }
  return tokens;
}

Deno.test("`drawToken()` draws from the k likeliest and from the nucleus alone", () => {
  const options = fc.record({
    temperature: fc.double({ min: 0.1, max: 3, noNaN: true }),
    topK: fc.integer({ min: 1, max: 70 }),
    topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
  });
  fc.assert(fc.property(anyLogits, anyUniform, options, (logits, uniform, options) => {
    const { temperature, topK, topP } = options;
    assert(allowed(logits, temperature, topK, topP).has(drawToken(logits, uniform, options)));
  }));
});

Deno.test("`drawToken()` draws each token as often as its probability says", () => {
  const logits = Float32Array.of(1, 2, 0, -1);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 10_000; i++) counts[drawToken(logits, (i + 0.5) / 10_000)]!++;
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  logits.forEach((logit, token) =>
    assert(Math.abs(counts[token]! - 10_000 * Math.exp(logit) / total) <= 1)
  );
});

Deno.test("`drawToken()` takes the likeliest, the lower of equals, at temperature 0", () => {
  assertEquals(drawToken(Float32Array.of(1, 3, 3), 0.99, { temperature: 0 }), 1);
});

Deno.test("`StopFilter` ends at the first stop string, whatever the pieces", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 30 });
  const stops = fc.array(
    fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 }),
  );
  fc.assert(fc.property(letters, stops, fc.integer({ min: 1, max: 4 }), (text, stops, size) => {
    const filter = new StopFilter(stops);
    let out = "";
    for (let i = 0; i < text.length; i += size) out += filter.push(text.slice(i, i + size));
    out += filter.end();
    // Where two stop strings overlap, the one that is whole first ends the text.
    const ends = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (ends.length === 0) assertEquals(out, text);
    else {assert(
        filter.isStopped && text.startsWith(out) && !stops.some((stop) => out.includes(stop)),
      );}
  }));
});
