import { assertEquals, assertThrows } from "@std/assert";
import { readSelection } from "../../bench/harness/selection.ts";
import { ConfigError } from "../../lib/errors.ts";

const small = { group: "experts", name: "nano experts_forward" };
const large = { group: "layer", name: "182m MoE relu", full: true };

function chosen(args: readonly string[], everything?: string): boolean[] {
  const selection = readSelection(args, everything);
  return [small, large].map((benchCase) => selection.includes(benchCase));
}

Deno.test("large cases run only in a full run", () => {
  assertEquals(chosen([]), [true, false]);
  assertEquals(chosen(["--full"]), [true, true]);
  assertEquals(chosen([], "full"), [true, true]);
  assertEquals(chosen([], "no"), [true, false]);
});

Deno.test("a filter is text or an expression, on group and name", () => {
  assertEquals(chosen(["--full", "--filter", "nano"]), [true, false]);
  assertEquals(chosen(["--full", "--filter", "layer: 182m"]), [false, true]);
  assertEquals(chosen(["--full", "--filter", "/^(layer|experts)/"]), [true, true]);
  assertEquals(chosen(["--full", "--filter=/forward$/"]), [true, false]);
});

Deno.test("paths are absolute, unknown flags are refused", () => {
  const { output, compare } = readSelection(["--output", "/tmp/a.json", "--compare=/tmp/b.json"]);
  assertEquals([output, compare], ["/tmp/a.json", "/tmp/b.json"]);
  assertThrows(() => readSelection(["--filtre", "x"]), ConfigError, "did you mean --filter?");
  assertThrows(() => readSelection(["--filter", "/(/"]), ConfigError, "not a regular expression");
});
