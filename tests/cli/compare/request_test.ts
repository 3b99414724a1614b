import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { parseCompareFlags, parseSeeds } from "../../../cli/compare/flags.ts";
import { type CompareRequest, compareRequest } from "../../../cli/compare/request.ts";
import { parseContenders, parseGrid } from "../../../cli/compare/settings.ts";
import type { RowConfigs } from "../../../lib/compare/plan.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { ROUTER_NAMES } from "../../../lib/moe/routers.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";

function request(args: string, isa: string | null = null, base = "/base"): Promise<CompareRequest> {
  const given = args === "" ? [] : args.split(" ");
  return compareRequest(parseCompareFlags(["--preset=pico", ...given]), base, isa);
}

async function rows(args: string, isa: string | null = null): Promise<readonly RowConfigs[]> {
  return (await request(args, isa)).rows;
}

async function refused(args: string, ...words: string[]): Promise<void> {
  const { message } = await assertRejects(() => request(args), ConfigError);
  for (const word of words) assertStringIncludes(message, word);
}

Deno.test("seeds are a count, a range or a list", () => {
  assertEquals(parseSeeds("3"), [0, 1, 2]);
  assertEquals(parseSeeds("3-5"), [3, 4, 5]);
  assertEquals(parseSeeds("7-7"), [7]);
  assertEquals(parseSeeds("9,0,4"), [9, 0, 4]);
  for (const text of ["0", "", "-1", "5-3", "1,1", "1,", "two", "1.5", "1e3", "0-99999"]) {
    assertThrows(() => parseSeeds(text), ConfigError, "each seed once");
  }
});

Deno.test("without routers all of the library are compared, beside a variant none", async () => {
  const known = ROUTER_NAMES.map((name) => parseContenders(name, [], String)[0]!.name);
  assertEquals(parseContenders(undefined, [], String).map(({ name }) => name), known);
  const [only, ...others] = parseContenders(undefined, ["soft=topk:balance_coefficient=0"], String);
  assertEquals([only!.name, only!.router, others.length], ["soft", "topk", 0]);
  assertEquals(only!.settings, [{ key: "moe.balance_coefficient", value: "0" }]);
  const all = await rows("--routers topk,relu --variant b=relu:balance=plain,optimizer.lr=0.01");
  assertEquals(all.map(({ label }) => label), ["topk", "relu", "b"]);
  const { moe, optimizer } = all[2]!.configs[0]!;
  assertEquals([moe.balance, optimizer.lr], ["plain", 0.01]);
});

Deno.test("sweeps make a grid, the last one fastest", async () => {
  assertEquals(parseGrid(["experts=4,8", "optimizer.lr=1e-3,3e-3"]).map(({ label }) => label), [
    "experts=4 lr=1e-3",
    "experts=4 lr=3e-3",
    "experts=8 lr=1e-3",
    "experts=8 lr=3e-3",
  ]);
  const grid = await rows("--routers topk,relu --sweep experts=4,16 --seeds 2");
  assertEquals(grid.map(({ label, baseline }) => [label, baseline]), [
    ["topk experts=4", null],
    ["relu experts=4", "topk experts=4"],
    ["topk experts=16", null],
    ["relu experts=16", "topk experts=16"],
  ]);
  assertEquals(grid[3]!.configs.map(({ seed, moe }) => [seed, moe.experts]), [[0, 16], [1, 16]]);
});

Deno.test("all routers have the same active width and data", async () => {
  const all = await rows("--routers dense,topk,relu --set active=2 --set experts=16");
  const [dense, topk, relu] = all.map(({ configs }) => configs[0]!);
  assertEquals([dense!.moe.experts, dense!.moe.active], [1, 1]);
  assertEquals(dense!.model.ffn, 2 * topk!.model.ffn);
  assertEquals([topk!.moe.experts, topk!.moe.active, relu!.moe.active], [16, 2, 2]);
  assertEquals(dense!.data, relu!.data);
  // Sizes of the mixture do not concern a router without experts: the same run in every cell.
  const [four, eight] = await rows("--routers dense --sweep experts=4,8");
  assertEquals(four!.configs, eight!.configs);
  const [narrow, shared] = await rows("--routers dense,topk --set active=2 --set shared=1");
  assertEquals([narrow!.configs[0]!.moe.shared, shared!.configs[0]!.moe.shared], [0, 1]);
  assertEquals(narrow!.configs[0]!.model.ffn, 2 * shared!.configs[0]!.model.ffn);
  const [own] = await rows("--variant wide=dense:model.ffn=96 --set active=2");
  assertEquals(own!.configs[0]!.model.ffn, 96);
});

Deno.test("the noise floor repeats the baseline with another instruction set", async () => {
  const labels = async (args: string): Promise<string[]> =>
    (await rows(args, "avx2")).map(({ label, isa, baseline }) => `${label}|${isa}|${baseline}`);
  assertEquals(await labels("--routers topk,relu"), [
    "topk|null|null",
    "topk (avx2)|avx2|topk",
    "relu|null|topk",
  ]);
  assertEquals((await labels("--routers topk,relu --sweep experts=4,8")).length, 5);
  assertEquals((await labels("--routers topk,relu --sweep experts=4,8 --noise each")).length, 6);
  assertEquals((await labels("--routers topk,relu --noise none")).length, 2);
  assertEquals(await labels("--routers relu"), ["relu|null|null", "relu (avx2)|avx2|relu"]);
});

Deno.test("a baseline is a row's name, or one row of all", async () => {
  const [topk, relu] = await rows("--routers topk,relu --baseline relu");
  assertEquals([topk!.baseline, relu!.baseline], ["relu", null]);
  const given = parseCompareFlags([
    ...["--preset=pico", "--routers=relu", "--sweep=alpha=1.1,1.2"],
    "--baseline=relu alpha=1.2",
  ]);
  const { rows: swept } = await compareRequest(given, "/base", null);
  assertEquals(swept.map(({ baseline }) => baseline), ["relu alpha=1.2", null]);
});

Deno.test("equal compute matches what is known beforehand to relu of the same cell", async () => {
  const { rows, notices } = await request(
    "--routers dense,topk,relu --variant plain=relu:balance=plain --match compute --sweep experts=4,8",
    "avx2",
  );
  assertEquals(rows.map(({ label, matched }) => [label, matched]), [
    ["dense experts=4", "relu experts=4"],
    ["topk experts=4", "relu experts=4"],
    ["topk experts=4 (avx2)", "relu experts=4"],
    ["relu experts=4", null],
    ["plain experts=4", null],
    ["dense experts=8", "relu experts=8"],
    ["topk experts=8", "relu experts=8"],
    ["relu experts=8", null],
    ["plain experts=8", null],
  ]);
  assertEquals(notices.length, 2);
  assertStringIncludes(notices[0]!, "plain experts=4 runs the steps given");
});

Deno.test("a row of another active width is told, and equal ones are not", async () => {
  const args = "--routers dense,topk,relu --set active=2 --sweep experts=4,8";
  assertEquals((await request(args)).notices, []);
  const { notices } = await request(
    "--routers topk,relu --variant two=topk:active=2,renormalize=true",
  );
  assertEquals(notices, [
    "two has 2 times the active width of topk, so a token costs more there",
  ]);
});

Deno.test("a configuration file may not decide what differs among the runs", async () => {
  using folder = new TemporaryFolder();
  const cases = [
    ["seed: 3", "it holds seed; leave it out and give --seeds"],
    ["out: /elsewhere", "it holds out; leave it out and give --out"],
    ["moe: { router: topk }", "it holds moe.router; leave it out and give --routers"],
  ];
  for (const [text, message] of cases) {
    Deno.writeTextFileSync(`${folder.path}/c.yaml`, text!);
    const args = "--routers topk --config c.yaml";
    await assertRejects(() => request(args, null, folder.path), ConfigError, message);
  }
  Deno.writeTextFileSync(`${folder.path}/c.yaml`, "out: null\nmoe: { experts: 4 }");
  const { rows } = await request("--routers topk --config c.yaml", null, folder.path);
  assertEquals(rows[0]!.configs[0]!.moe.experts, 4);
});

Deno.test("routers that look at later tokens are told", async () => {
  const all = await rows("--routers topk,lory,expert-choice");
  assertEquals(all.map(({ causal }) => causal), ["all", "some", "none"]);
});

Deno.test("a router from a file is compared by the keys that it has", async () => {
  using folder = new TemporaryFolder();
  const text = `export default {
    keys: { power: { type: "whole", least: 1, default: 2, about: "An exponent" } },
    build() { throw new Error("no model is built here"); },
  };`;
  Deno.writeTextFileSync(`${folder.path}/mine.js`, text);
  const { rows } = await request(
    "--routers topk,./mine.js --variant strong=./mine.js:power=3",
    null,
    folder.path,
  );
  assertEquals(rows.map(({ label }) => label), ["topk", "mine", "strong"]);
  const powers = rows.slice(1).map(({ configs }) =>
    (configs[0]!.moe as unknown as { power: number }).power
  );
  assertEquals(powers, [2, 3]);
});

Deno.test("what cannot be used is refused, with what to do", async () => {
  await refused("--routers topk,hahs", "hahs", `expected ${ROUTER_NAMES.join(", ")}`);
  await refused("--routers topk,topk", "Two rows would be called topk");
  await refused("--routers topk,", "of no name");
  await refused("--routers topk,relu --set lambda0=1e-4", "Cannot compare topk", "--variant");
  await refused("--routers relu --sweep lamda0=1", "there is no key lamda0");
  await refused("--routers relu --sweep moe.lamda0=1", "did you mean moe.lambda0");
  await refused("--routers relu --sweep lambda0=1e-8,1e-8", "different values");
  await refused("--routers relu --sweep alpha=1.1 --sweep moe.alpha=1.2", "swept twice");
  await refused("--routers relu --sweep alpha=0.5", "relu alpha=0.5", "above 1");
  await refused("--routers relu --variant x", "expected NAME=ROUTER");
  await refused("--routers relu --variant x=nope", "--variant x names the router nope");
  await refused(
    "--routers topk --variant x=topk:alpha=1.1",
    "Cannot compare x",
    "moe.alpha is 1.1",
  );
  await refused("--routers topk --match compute", "needs a router that decides itself");
  await refused("--routers topk --match flops", "expected steps, compute");
  await refused("--routers topk --baseline dense", "expected one of topk");
  await refused("--routers topk --set validation.every=0", "validation is compared");
  for (const key of ["seed", "steps", "out", "threads", "preset", "moe.router", "router"]) {
    await refused(`--routers topk --set ${key}=1`, `${key}=1: give --`);
  }
});
