import { assertAlmostEquals, assertEquals } from "@std/assert";
import {
  countParameters,
  type ParameterCount,
  parseConfig,
  type PresetName,
} from "../../lib/train/mod.ts";

function count(preset: PresetName, moe: object = {}): ParameterCount {
  const config = parseConfig({ preset, moe });
  return countParameters(config.model, config.moe);
}

Deno.test("`countParameters()` reproduces the paper's sizes", () => {
  const millions = (value: number): number => Math.round(value / 1e4) / 100;
  assertEquals(millions(count("182m", { router: "dense" }).total), 182.47);
  assertEquals(millions(count("469m", { router: "dense" }).total), 469.81);
  assertEquals(millions(count("978m", { router: "dense" }).total), 978.40);
  assertAlmostEquals(count("182m").total, 777e6, 0.5e6);
  assertAlmostEquals(count("469m").total, 2.58e9, 0.01e9);
  assertAlmostEquals(count("978m").total, 5.73e9, 0.01e9);
});

Deno.test("`countParameters()` gives nano 1.05M active parameters of 6.56M", () => {
  assertEquals(count("nano").active, 1_054_080);
  assertEquals(count("nano").total, 6_559_104);
});

Deno.test("`countParameters()` sums its parts, and granularity grows only the router", () => {
  const { total, active: _active, ...parts } = count("pico", { granularity: 4, active: 2 });
  assertEquals(Object.values(parts).reduce((sum, part) => sum + part, 0), total);
  assertEquals(parts.experts, count("pico").experts);
  assertEquals(parts.routers, 4 * count("pico").routers);
});
