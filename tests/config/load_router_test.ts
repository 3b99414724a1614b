/** Routers from files: what a file may contain, and how a configuration uses it. @module */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { loadRouterOf } from "../../lib/config/load_router.ts";
import { ConfigError, Device, FileError } from "../../mod.ts";
import { buildModel } from "../../lib/model/build_model.ts";
import {
  checkResumable,
  configHash,
  countParameters,
  estimateMemory,
  executedFlops,
  type LoadedRouter,
  loadRouter,
  parseConfig,
  parseConfigLayer,
  resolveConfig,
} from "../../lib/train/mod.ts";
import { TemporaryFolder } from "../temporary_folder.ts";

const ROW = `{
  keys: { power: { type: "whole", least: 1, most: 3, default: 2, about: "A power" } },
  exact: true,
  activeFrom: ({ experts, active, power }) => [
    { from: 0, most: experts },
    { from: power, most: active },
  ],
  weights: (hidden) => hidden,
  problems: ({ power, active }) => power > active + 1 ? ["moe.power is too large"] : [],
  build() { throw new RangeError("built"); },
}`;

/** Loads a file that exports an expression. */
async function load(folder: TemporaryFolder, row: string, name = "my.ts"): Promise<LoadedRouter> {
  const path = `${folder.path}/${name}`;
  await Deno.writeTextFile(path, `// deno-lint-ignore-file\nexport default ${row};\n`);
  return await loadRouter(path);
}

Deno.test("a router file's row supplies configuration keys, defaults, bounds and problems", async () => {
  using folder = new TemporaryFolder();
  const router = await load(folder, ROW);
  const parse = (moe: object) => parseConfig({ moe: { router: router.path, ...moe } }, { router });
  const config = parse({});
  const { moe } = config as unknown as { moe: Record<string, unknown> };
  assertEquals([moe["router"], moe["power"]], [router.path, 2]);
  assertEquals(parseConfig(JSON.parse(JSON.stringify(config))), config);
  const refused: [object, string][] = [
    [{ power: 4 }, "moe.power is 4, expected a whole number from 1 to 3"],
    [{ power: 3 }, "moe.power is too large"],
    [{ powr: 1 }, "unknown key moe.powr, did you mean moe.power?"],
    [{ alpha: 1.1 }, "only relu reads it"],
    [{ active: 9 }, "moe.active is 9, expected at most moe.experts (8)"],
  ];
  for (const [given, message] of refused) {
    assertThrows(() => parse(given), ConfigError, message, JSON.stringify(given));
  }
  assertThrows(() => parseConfig({ moe: { power: 2 } }), ConfigError, "unknown key moe.power");
});

Deno.test("memory, parameters and FLOPs follow the file's declaration, without its code", async () => {
  using folder = new TemporaryFolder();
  const router = await load(folder, ROW);
  const input = { preset: "pico", moe: { router: router.path } };
  const config = parseConfig(JSON.parse(JSON.stringify(parseConfig(input, { router }))));
  const tokens = config.data.micro_batch * config.data.sequence;
  const { dense, sparse } = estimateMemory(config);
  assertEquals([dense.rows, sparse.rows], [8 * tokens, tokens]);
  const { model, moe } = config;
  assertEquals(countParameters(model, moe).routers, model.layers * model.hidden);
  const work = { sequences: 1, sequence: 2, rows: [2, 2] };
  assertEquals(executedFlops(model, moe, work).routers, 6 * 2 * model.layers * model.hidden);
});

Deno.test("a layer that leaves a file's router drops its keys, and can return to it", async () => {
  using folder = new TemporaryFolder();
  const router = await load(folder, ROW);
  const options = { router };
  const own = parseConfigLayer({ moe: { router: router.path, power: 1 } }, options);
  const { moe } = resolveConfig([own, { moe: { router: "topk" } }], options);
  assertEquals([moe.router, "power" in moe, "router_file" in moe], ["topk", false, false]);
  const back = resolveConfig([{ moe: { alpha: 1.1 } }, own], options).moe;
  assertEquals([back.router, back.alpha], [router.path, 1.2]);
});

Deno.test("a file's router must be loaded, both to parse and to build", async () => {
  using folder = new TemporaryFolder();
  const router = await load(folder, ROW);
  const moe = { router: router.path };
  assertThrows(() => parseConfig({ moe }), ConfigError, "has not been loaded");
  const stranger = { path: router.path, sha256: router.sha256 };
  assertThrows(
    () => parseConfig({ moe }, { router: stranger }),
    TypeError,
    "what loadRouter() gives",
  );
  const config = parseConfig({ preset: "pico", moe }, { router });
  using device = await Device.open({ kind: "cpu" });
  assertThrows(() => buildModel(device, config), ConfigError, "its file has not been loaded");
  const loaded = await loadRouterOf(config.moe);
  const error = assertThrows(
    () => buildModel(device, config, { router: loaded }),
    ConfigError,
    `Cannot use the router ${router.path}: its build() failed in line 11: built`,
  );
  assert(error.cause instanceof RangeError);
});

Deno.test("a changed file is a different router", async () => {
  using folder = new TemporaryFolder();
  const before = await load(folder, ROW);
  const moe = { router: before.path };
  const saved = parseConfig({ moe }, { router: before });
  const same = await load(folder, ROW);
  assertEquals(configHash(parseConfig({ steps: 9, moe }, { router: same })), configHash(saved));
  const after = await load(folder, ROW.replace("default: 2", "default: 1"));
  const now = parseConfig({ moe }, { router: after });
  assert(configHash(now) !== configHash(saved));
  assertThrows(() => checkResumable(saved, now), ConfigError, "my.ts has changed");
  await assertRejects(
    () => loadRouterOf(saved.moe),
    ConfigError,
    "has changed since the run began",
  );
  assertEquals((await loadRouterOf(now.moe))?.sha256, after.sha256);
  assertEquals(await loadRouterOf(parseConfig({}).moe), undefined);
});

Deno.test("a router's own settings may not change on resume", async () => {
  using folder = new TemporaryFolder();
  const router = await load(folder, ROW);
  const [saved, now] = [1, 2].map((power) =>
    parseConfig({ moe: { router: router.path, power } }, { router })
  );
  assertThrows(() => checkResumable(saved!, now!), ConfigError, "moe.power was 1 and is 2");
});

const BAD: Readonly<Record<string, readonly [row: string, message: string]>> = {
  "no object": ["3", "its default export is not a RouterRow"],
  "no builder": ["{}", "row.build: a function"],
  "an unknown field": ["{ build() {}, weight: 3 }", "weight"],
  "a key of no kind": [`{ build() {}, keys: { a: { type: "text" } } }`, "row.keys.a"],
  "a key of the library's": [
    `{ build() {}, keys: { experts: { type: "flag", default: true, about: "" } } }`,
    "row.keys.experts is another key than moe.experts of the library",
  ],
  "λ without its keys": ["{ build() {}, lambda: true }", "spread LAMBDA_KEYS there"],
  "λ's keys without λ": [
    `{ build() {}, keys: (await import("@remoe/remoe")).LAMBDA_KEYS }`,
    "row.keys spreads LAMBDA_KEYS, and row.lambda is not true",
  ],
  "code that fails": ["nowhere.at.all", "nowhere is not defined"],
};

for (const [what, [row, message]] of Object.entries(BAD)) {
  Deno.test(`loadRouter() refuses a file with ${what}`, async () => {
    using folder = new TemporaryFolder();
    await assertRejects(() => load(folder, row, "bad.js"), ConfigError, message);
  });
}

Deno.test("loadRouter() refuses a file that is not code, and a missing one", async () => {
  await assertRejects(() => loadRouter("/nowhere/router.json"), ConfigError, "ends in .ts");
  await assertRejects(() => loadRouter("/nowhere/router.ts"), FileError, "no such file");
  await assertRejects(() => loadRouter(""), TypeError);
});

Deno.test("a router's hash covers the local modules that it imports", async () => {
  using folder = new TemporaryFolder();
  const write = (name: string, text: string): void =>
    Deno.writeTextFileSync(`${folder.path}/${name}`, text);
  Deno.mkdirSync(`${folder.path}/parts`);
  write("parts/deep.js", "export const power = 2;\n");
  write("parts/gates.js", `export * from "./deep.js";\n`);
  const text = `// import "./not_there.js"
    import { power } from "./parts/gates.js";
    export default { about: "power " + power, build() { throw new RangeError("built"); } };`;
  write("my.js", text);
  const path = `${folder.path}/my.js`;
  const router = await loadRouter(path);
  const { moe } = parseConfig({ moe: { router: path } }, { router });
  assertEquals((await loadRouterOf(moe))?.sha256, router.sha256);
  write("parts/deep.js", "export const power = 3;\n");
  await assertRejects(
    () => loadRouterOf(moe),
    ConfigError,
    "or a module that it imports has changed",
  );
  // Deno would go on with the module as it was.
  await assertRejects(() => loadRouter(path), ConfigError, "start the process again");
  // Elsewhere it is the same router, but a module of its own.
  using other = new TemporaryFolder();
  Deno.mkdirSync(`${other.path}/parts`);
  for (const name of ["my.js", "parts/gates.js"]) {
    Deno.copyFileSync(`${folder.path}/${name}`, `${other.path}/${name}`);
  }
  Deno.writeTextFileSync(`${other.path}/parts/deep.js`, "export const power = 2;\n");
  assertEquals((await loadRouter(`${other.path}/my.js`)).sha256, router.sha256);
});
