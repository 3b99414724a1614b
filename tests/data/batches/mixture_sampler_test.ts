import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";

import { MixtureSampler } from "../../../lib/data/batches/mixture_sampler.ts";
import { memoryStream } from "../../../lib/data/corpus/token_stream.ts";
import { ConfigError } from "../../../lib/errors.ts";

/** A domain whose tokens encode the domain and their position. */
const domain = (name: number, length: number) => ({
  tokens: memoryStream(Uint16Array.from({ length }, (_, i) => name * 10_000 + i)),
});
const DOMAINS = new Map([["a", domain(0, 401)], ["b", domain(1, 801)], ["c", domain(2, 81)]]);
const OPTIONS = { sequence: 8, seed: 5 };

/** The number of windows drawn from each domain in the given number of batches. */
function draw(sampler: MixtureSampler, batches: number): number[] {
  const counts = [0, 0, 0];
  for (let i = 0; i < batches; i++) {
    const { tokens } = sampler.next(4);
    for (let row = 0; row < 4; row++) counts[Math.floor(tokens[8 * row]! / 10_000)]!++;
  }
  return counts;
}

Deno.test("`MixtureSampler` draws domains by their share times their weight, at any point", () => {
  const weights = { a: 3, c: 0.5 };
  const sampler = new MixtureSampler(DOMAINS, { ...OPTIONS, weights });
  const parts = [3 * 401, 801, 0.5 * 81];
  const total = parts.reduce((sum, part) => sum + part, 0);
  const counts = [0, 0, 0];
  for (let batches = 1; batches <= 100; batches++) {
    draw(sampler, 1).forEach((count, i) => counts[i]! += count);
    counts.forEach((count, i) => assertAlmostEquals(count, 4 * batches * parts[i]! / total, 1.5));
  }
});

Deno.test("`MixtureSampler` exhausts a domain before repeating it in another order", () => {
  const sampler = new MixtureSampler(new Map([["c", DOMAINS.get("c")!]]), {
    ...OPTIONS,
    weights: {},
  });
  const [first, second] = [sampler.next(10), sampler.next(10)].map(({ tokens }) =>
    Array.from({ length: 10 }, (_, row) => tokens[8 * row]!)
  );
  assertEquals(first!.toSorted(), second!.toSorted());
  assertEquals(new Set(first).size, 10);
  assert(first!.join() !== second!.join());
});

Deno.test("`MixtureSampler` skips a domain of weight 0, however short", () => {
  const domains = new Map([...DOMAINS, ["tiny", domain(3, 3)]]);
  const counts = draw(new MixtureSampler(domains, { ...OPTIONS, weights: { b: 0, tiny: 0 } }), 50);
  assertEquals(counts[1], 0);
});

Deno.test("`MixtureSampler` joins short domains of equal weight, and draws them by their share", () => {
  const short = Array.from({ length: 20 }, (_, i) => {
    const tokens = memoryStream(Uint16Array.from({ length: 5 }, (_, at) => i * 100 + at));
    return [`s${i}`, { tokens }] as const;
  });
  const domains = new Map([...short, ["long", domain(1, 101)]]);
  const weights = Object.fromEntries(short.map(([name]) => [name, 2]));
  const sampler = new MixtureSampler(domains, { ...OPTIONS, weights });
  const { tokens } = sampler.next(300);
  const seen = new Set(tokens);
  for (const [i] of short.entries()) {
    for (let at = 0; at < 5; at++) {
      // The tokens at a stream's end that fill no window are left over.
      if (i < 19) assert(seen.has(i * 100 + at), `token ${at} of ${i}`);
    }
  }
  const fromShort = tokens.filter((token) => token < 10_000).length / tokens.length;
  assertAlmostEquals(fromShort, 200 / 301, 0.01);
  const resumed = new MixtureSampler(domains, { ...OPTIONS, weights });
  resumed.restore(JSON.parse(JSON.stringify(sampler.state)));
  assertEquals(resumed.next(10), sampler.next(10));
});

Deno.test("`MixtureSampler` repeats a domain too short for a window", () => {
  const domains = new Map([["long", domain(0, 101)], ["tiny", domain(1, 3)]]);
  const sampler = new MixtureSampler(domains, { ...OPTIONS, weights: { tiny: 30 } });
  const { tokens } = sampler.next(100);
  const rows = Array.from({ length: 100 }, (_, row) => tokens.slice(8 * row, 8 * row + 8));
  const tiny = rows.filter(([first]) => first! >= 10_000);
  assertAlmostEquals(tiny.length, 100 * 90 / 191, 1);
  assertEquals(tiny[0]!.map((token) => token - 10_000).join(), "0,1,2,0,1,2,0,1");
});

Deno.test("`MixtureSampler` accepts any domain name, and refuses invalid weights", () => {
  const names = ["__proto__", "constructor", "toString", "1"];
  const domains = new Map(names.map((name, i) => [name, domain(i, 101)]));
  const sampler = new MixtureSampler(domains, { ...OPTIONS, weights: { "1": 1 } });
  const { tokens } = sampler.next(40);
  assertEquals(new Set(tokens.map((token) => Math.floor(token / 10_000))).size, 4);
  const resumed = new MixtureSampler(domains, { ...OPTIONS, weights: { "1": 1 } });
  resumed.restore(JSON.parse(JSON.stringify(sampler.state)));
  assertEquals(resumed.next(40), sampler.next(40));
  for (const weight of [-1, NaN, Infinity, "1", null]) {
    const weights = { "1": weight as number };
    const make = () => new MixtureSampler(domains, { ...OPTIONS, weights });
    assertThrows(make, ConfigError, "domain 1 by");
  }
});

Deno.test("`MixtureSampler.restore()` continues as the first would have", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 10 }), (batches) => {
    const options = { ...OPTIONS, weights: { b: 2 } };
    const sampler = new MixtureSampler(DOMAINS, options);
    for (const batch of batches) sampler.next(batch);
    const resumed = new MixtureSampler(DOMAINS, options);
    resumed.restore(JSON.parse(JSON.stringify(sampler.state)));
    assertEquals(resumed.next(60), sampler.next(60));
  }));
});

Deno.test("`MixtureSampler` names what does not match", () => {
  const make = (weights: Record<string, number>) =>
    new MixtureSampler(DOMAINS, { ...OPTIONS, weights });
  assertThrows(() => make({ d: 1 }), ConfigError, "has the domains a, b, c");
  assertThrows(() => make({ a: 0, b: 0, c: 0 }), ConfigError, "every weight is 0");
  const { state } = make({ c: 0 });
  assertThrows(() => make({}).restore(state), ConfigError, "the checkpoint's is of a, b");
});
