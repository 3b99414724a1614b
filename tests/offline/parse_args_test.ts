import { assertEquals } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { assertType, type IsExact } from "@std/testing/types";

// Values only: the result's type follows from literal options, which the last test checks.
const read = parseArgs as unknown as (args: string[], options?: object) => unknown;

Deno.test("`parseArgs()` reads flags, values and positional arguments", () => {
  assertEquals(read(["a", "--b", "--c=d", "--e", "f", "7"]), {
    _: ["a", 7],
    b: true,
    c: "d",
    e: "f",
  });
});

Deno.test("`parseArgs()` reads numbers unless the option is listed as `string`", () => {
  assertEquals(read(["--a=1", "--b=1e3", "--c=0x10", "--d", ".5", "--e=1x"]), {
    _: [],
    a: 1,
    b: 1000,
    c: 16,
    d: 0.5,
    e: "1x",
  });
  assertEquals(read(["--a=1", "--a", "2"], { string: ["a"] }), { _: [], a: "2" });
  assertEquals(read(["01", "2"], { string: ["_"] }), { _: ["01", "2"] });
});

Deno.test("`parseArgs()` gives options without a value true, or an empty string", () => {
  assertEquals(read(["--a"], { string: ["a"] }), { _: [], a: "" });
  assertEquals(read(["--a", "--b"], { string: ["a"] }), { _: [], a: "", b: true });
  // A value that starts with a dash is taken for an option.
  assertEquals(read(["--rate", "-1"], { string: ["rate"] }), { _: [], rate: "", "1": true });
  assertEquals(read(["--rate=-1"], { string: ["rate"] }), { _: [], rate: "-1" });
});

Deno.test("`parseArgs()` takes no value after a boolean, except true and false", () => {
  const options = { boolean: ["a"] };
  assertEquals(read([], options), { _: [], a: false });
  assertEquals(read(["--a", "b"], options), { _: ["b"], a: true });
  assertEquals(read(["--a", "false"], options), { _: [], a: false });
  assertEquals(read(["--a=false"], options), { _: [], a: false });
  assertEquals(read(["--a", "b"], { boolean: true }), { _: ["b"], a: true });
});

Deno.test("`parseArgs()` negates negatable options", () => {
  const options = { boolean: ["color"], negatable: ["color"], default: { color: true } };
  assertEquals(read([], options), { _: [], color: true });
  assertEquals(read(["--no-color"], options), { _: [], color: false });
  assertEquals(read(["--no-color"]), { _: [], "no-color": true });
});

Deno.test("`parseArgs()` collects listed options, and keeps the last of others", () => {
  const options = { string: ["data", "out"], collect: ["data"] };
  assertEquals(read([], options), { _: [], data: [] });
  assertEquals(read(["--data", "a", "--data=b", "--out=c", "--out=d"], options), {
    _: [],
    data: ["a", "b"],
    out: "d",
  });
  assertEquals(read(["--n", "--n"], { boolean: ["n"], collect: ["n"] }), {
    _: [],
    n: [true, true],
  });
});

Deno.test("`parseArgs()` sets aliases both ways", () => {
  const options = { boolean: ["help"], string: ["out"], alias: { help: "h", out: ["o"] } };
  assertEquals(read(["-h", "-o", "5"], options), {
    _: [],
    h: true,
    help: true,
    o: "5",
    out: "5",
  });
  assertEquals(read(["--help"], options), { _: [], h: true, help: true });
});

Deno.test("`parseArgs()` reads groups of letters", () => {
  assertEquals(read(["-abc", "d"]), { _: [], a: true, b: true, c: "d" });
  assertEquals(read(["-n5"]), { _: [], n: 5 });
  assertEquals(read(["-n=v"]), { _: [], n: "v" });
  assertEquals(read(["-"]), { _: ["-"] });
});

Deno.test("`parseArgs()` nests names with dots", () => {
  assertEquals(read(["--model.dim=64", "--model.heads", "4"]), {
    _: [],
    model: { dim: 64, heads: 4 },
  });
  assertEquals(read([], { default: { "a.b": 1 } }), { _: [], a: { b: 1 } });
});

Deno.test("`parseArgs()` separates what follows a double dash", () => {
  assertEquals(read(["a", "--", "--b", "c"]), { _: ["a", "--b", "c"] });
  assertEquals(read(["a", "--", "--b"], { "--": true }), { _: ["a"], "--": ["--b"] });
});

Deno.test("`parseArgs()` calls `unknown` for unlisted options", () => {
  const asked: unknown[] = [];
  const parsed = read(["--known", "--other=5", "place", "-z"], {
    boolean: ["known"],
    unknown: (arg: string, key?: string, value?: unknown): boolean => {
      asked.push([arg, key, value]);
      return false;
    },
  });
  assertEquals(parsed, { _: [], known: true });
  assertEquals(asked, [
    ["--other=5", "other", "5"],
    ["place", undefined, undefined],
    ["-z", "z", true],
  ]);
});

Deno.test("`parseArgs()` stops early on request", () => {
  assertEquals(read(["--a", "b", "c", "--d"], { boolean: ["a"], stopEarly: true }), {
    _: ["b", "c", "--d"],
    a: true,
  });
});

Deno.test("`parseArgs()` types listed options", () => {
  const parsed = parseArgs([], {
    boolean: ["json"],
    string: ["out", "data", "name"],
    collect: ["data"],
    default: { name: "x" },
    "--": true,
  });
  assertType<IsExact<typeof parsed.json, boolean>>(true);
  assertType<IsExact<typeof parsed.out, string | undefined>>(true);
  assertType<IsExact<typeof parsed.data, string[]>>(true);
  assertType<IsExact<typeof parsed.name, string>>(true);
  assertType<IsExact<typeof parsed._, (string | number)[]>>(true);
  assertType<IsExact<(typeof parsed)["--"], string[]>>(true);
});
