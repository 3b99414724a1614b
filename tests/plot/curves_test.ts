import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { smooth, thin } from "../../lib/plot/curves.ts";
import { runLabels } from "../../lib/plot/labels.ts";
import { LoadHistory } from "../../lib/plot/load_history.ts";
import type { Point } from "../../lib/plot/run_figures.ts";

function curve(values: readonly number[]): Point[] {
  return values.map((value, index) => ({ x: index + 1, value }));
}

Deno.test("`smooth()` takes the mean around each point, symmetrically at the start", () => {
  const values = smooth(curve([9, 6, 3, 0, 0, 0, 6]), 5).map(({ value }) => value);
  assertEquals(values, [9, 6, (9 + 6 + 3) / 5, 9 / 5, 9 / 5, 6 / 4, 2]);
  // A straight line stays straight if the window is symmetric.
  const line = smooth(curve(Array.from({ length: 50 }, (_, i) => 100 - i)), 11);
  for (const { x, value } of line.slice(0, 45)) assertAlmostEquals(value, 101 - x, 1e-9);
});

Deno.test("`smooth()` skips non-finite values, and with width 1 changes nothing else", () => {
  const points = curve([1, NaN, 3, Infinity, 5]);
  assertEquals(smooth(points, 1).map(({ x }) => x), [1, 3, 5]);
  assert(smooth(points, 3).every(({ value }) => Number.isFinite(value)));
  assertEquals(smooth([], 10), []);
});

Deno.test("`thin()` keeps first, last, lowest and highest, in order, and few points", () => {
  const values = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 });
  fc.assert(fc.property(values, fc.integer({ min: 4, max: 40 }), (values, most) => {
    const points = curve(values);
    const kept = thin(points, most);
    assert(kept.length <= Math.max(most + 4, 4), `${kept.length} of ${most}`);
    assertEquals([kept[0], kept.at(-1)], [points[0], points.at(-1)]);
    const of = (list: readonly Point[]): number[] => list.map(({ value }) => value);
    assertEquals(Math.max(...of(kept)), Math.max(...values));
    assertEquals(Math.min(...of(kept)), Math.min(...values));
    assert(kept.every(({ x }, index) => index === 0 || x > kept[index - 1]!.x));
  }));
});

Deno.test("`LoadHistory` keeps the mean of everything in a few contiguous ranges", () => {
  for (const steps of [1, 7, 8, 9, 100]) {
    const history = new LoadHistory(8);
    for (let step = 1; step <= steps; step++) history.add(step, [[step, 200 - step]]);
    const stretches = history.stretches();
    assert(stretches.length <= 8 && (steps < 8 || stretches.length > 4), `${stretches.length}`);
    assertEquals([stretches[0]!.from, stretches.at(-1)!.to], [1, steps]);
    for (const [index, { from, to, load }] of stretches.entries()) {
      const middle = (from + to) / 2;
      assertEquals(load, [[middle / 200, (200 - middle) / 200]]);
      if (index > 0) assertEquals(from, stretches[index - 1]!.to + 1);
    }
  }
});

Deno.test("`LoadHistory` weights steps by their rows, and closed layers not at all", () => {
  const history = new LoadHistory(1);
  for (const [step, counts] of [[90, 10], [0, 0], [0, 2], [0, 0]].entries()) {
    history.add(step + 1, [counts, [0, 0]]);
  }
  assertEquals(history.stretches(), [{ from: 1, to: 4, load: [[90 / 102, 12 / 102], [0, 0]] }]);
});

Deno.test("`runLabels()` names runs by the shortest distinguishing part of their paths", () => {
  assertEquals(runLabels(["/runs/a"]), ["a"]);
  assertEquals(runLabels(["/runs/a", "/runs/b"]), ["a", "b"]);
  const dated = ["/runs/2026-11-27-084015-pico-relu-s0", "/runs/2026-11-27-084020-pico-topk-s0"];
  assertEquals(runLabels(dated), ["pico-relu-s0", "pico-topk-s0"]);
  const twice = [dated[0]!, "/runs/2026-11-27-090000-pico-relu-s0"];
  assertEquals(runLabels(twice), twice.map((path) => path.slice(6)));
  assertEquals(runLabels(["/x/run", "/y/run", "/y/z"]), ["x/run", "y/run", "y/z"]);
  assertEquals(runLabels(["/run", "/y/run"]), ["run", "y/run"]);
});
