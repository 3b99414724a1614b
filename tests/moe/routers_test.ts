/** Compares the router table with what the routers do. @module */

import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { memoryOf } from "../../lib/autograd/device.ts";
import { BASE } from "../../lib/config/presets.ts";
import { BUILD_ROUTER } from "../../lib/moe/build_router.ts";
import { defaultOf, withKeyDefaults } from "../../lib/moe/router_keys.ts";
import { mostActive, routerOf } from "../../lib/moe/router_of.ts";
import { ROUTER_KEYS, ROUTER_NAMES, type RouterName, ROUTERS } from "../../lib/moe/routers.ts";
import { type Device, read, type Router, StepState, write } from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { contextOf } from "./context.ts";

const SIZES = { experts: 8, active: 2, granularity: 1 };
const ONE_OF_EIGHT = { ...SIZES, active: 1 };
const ONE = { ...ONE_OF_EIGHT, experts: 1 };
const HIDDEN = 16;
const TOKENS = 32;

/** Sizes that the router accepts. */
function sizesOf(name: RouterName): typeof SIZES {
  const fits = (sizes: typeof SIZES): boolean =>
    ROUTERS[name].problems({ ...BASE.moe, ...sizes }).length === 0;
  return [SIZES, ONE_OF_EIGHT].find(fits) ?? ONE;
}

/** A router from the table, in a one-layer model. */
function build(device: Device, state: StepState, name: RouterName): Router {
  const { experts, active } = sizesOf(name);
  const place = { layers: 1, layer: 0, deviation: 0.1, name: "gate.weight", state };
  return BUILD_ROUTER[name](device, { hidden: HIDDEN, experts, active, ...place }, BASE.moe);
}

for (const name of ROUTER_NAMES) {
  const row = ROUTERS[name];
  const sizes = sizesOf(name);

  Deno.test(`the row of ${name} gives the router's number of weights and rows`, async () => {
    using device = await openDevice({ seed: 3 });
    using state = new StepState(device, { experts: sizes.experts });
    using router = build(device, state, name);
    const weights = [...router.parameters()].reduce((sum, { size }) => sum + size, 0);
    assertEquals(weights, row.weights(HIDDEN, sizes.experts));
    using _scope = device.scope();
    const { counts } = router.route(
      device.normal([TOKENS, HIDDEN], { mean: 1 }),
      contextOf(device, TOKENS),
    );
    const rows = (await read(counts)).reduce((sum, count) => sum + count, 0);
    const most = TOKENS * mostActive(row, { ...BASE.moe, ...sizes }, 0);
    assert(row.exact ? rows === most : rows <= most, `${rows} of ${most} rows`);
    const batch = { tokens: TOKENS, sequence: TOKENS, step: 0 };
    const stated = row.rows({ ...BASE.moe, ...sizes }, batch);
    // Merged experts run once per token; the counts are their weights.
    assertEquals(stated, row.merges ? TOKENS : most);
    assertEquals(row.activeFrom({ ...BASE.moe, ...sizes })[0]!.from, 0);
  });

  Deno.test(`the row of ${name} says whether the router uses later tokens and random draws`, async () => {
    using device = await openDevice({ seed: 3 });
    using state = new StepState(device, { experts: sizes.experts });
    using router = build(device, state, name);
    using _scope = device.scope();
    const x = device.normal([TOKENS, HIDDEN]);
    const gatesOf = async (step: number) => {
      const generator = { seed: 3n, step, draws: 0 };
      const route = () => router.route(x, contextOf(device, TOKENS)).gates;
      return [...await read(memoryOf(device).drawingFrom(generator, route))];
    };
    const before = await gatesOf(1);
    const again = await gatesOf(2);
    assertEquals(!row.draws, before.every((gate, i) => gate === again[i]));
    const values = await read(x);
    values.fill(-3, (TOKENS - 1) * HIDDEN);
    await write(x, values);
    const after = await gatesOf(1);
    const earlier = (TOKENS - 1) * sizes.experts;
    const isSame = before.slice(0, earlier).every((gate, i) => gate === after[i]);
    assertEquals(row.causal, isSame);
  });
}

Deno.test("the row of expert choice rounds as the router does, group by group", async () => {
  using device = await openDevice({ seed: 3 });
  using state = new StepState(device, { experts: 8 });
  const place = { layers: 1, layer: 0, deviation: 0.1, name: "gate.weight", state };
  for (const group of ["batch", "sequence"] as const) {
    for (
      const [tokens, sequence, active, capacity] of [[60, 15, 1, 1], [60, 20, 2, 1.3]] as const
    ) {
      const moe = { ...BASE.moe, experts: 8, active, capacity, group };
      const sizes = { hidden: HIDDEN, experts: 8, active };
      using router = BUILD_ROUTER["expert-choice"](device, { ...sizes, ...place }, moe);
      using _scope = device.scope();
      const context = { ...contextOf(device, tokens), sequence };
      const { counts } = router.route(device.normal([tokens, HIDDEN]), context);
      const routed = (await read(counts)).reduce((sum, count) => sum + count, 0);
      const stated = ROUTERS["expert-choice"].rows(moe, { tokens, sequence, step: 0 });
      assertEquals(stated, routed, `${group} ${sequence}`);
      assert(stated < tokens * capacity * active, `${stated}`);
    }
  }
});

Deno.test("rows that share a key share its definition, and every key has its default", () => {
  for (const name of ROUTER_NAMES) {
    for (const [key, definition] of Object.entries(ROUTERS[name].keys)) {
      assert(definition === ROUTER_KEYS[key as keyof typeof ROUTER_KEYS], `${name}: ${key}`);
    }
  }
  const settings = withKeyDefaults(ROUTER_KEYS, { lambda0: 1e-6 });
  assertEquals(Object.keys(settings).sort(), Object.keys(ROUTER_KEYS).sort());
  assertEquals(settings["lambda_floor"], 1e-8);
  assertEquals(defaultOf(ROUTER_KEYS.lambda_floor, { lambda0: 3 }), 0.03);
});

Deno.test("a file's router is described by what the configuration stores of it", () => {
  const row = ROUTERS.relu;
  fc.assert(fc.property(fc.boolean(), fc.nat(9), (adapts, weights) => {
    const { about, causal, draws, exact, lambda, loss, keys } = row;
    const router_file = {
      ...{ sha256: "0".repeat(64), about, routed: true, causal, draws, exact, lambda },
      ...{ loss, keys, adapts, active_from: [{ from: 0, most: 4 }, { from: 9, most: 1 }], weights },
    };
    const spec = routerOf({ router: "/a/b.ts", router_file });
    assertEquals([spec.adapts(BASE.moe), spec.weights(3, 3)], [adapts, weights]);
    assertEquals([0, 8, 9].map((step) => mostActive(spec, BASE.moe, step)), [4, 4, 1]);
  }));
});

/** The files with router rows; no other file may distinguish routers by name. */
const ROWS = ["lib/moe/routers.ts", "lib/moe/build_router.ts", "bench/models/aimed_router.ts"];

Deno.test("no code outside the rows compares router names", async () => {
  const root = new URL("../../", import.meta.url);
  const names = ROUTER_NAMES.join("|");
  const compared = new RegExp(`router\\)?\\s*(===|!==)\\s*"(${names})"|case "(${names})":`, "i");
  const found: string[] = [];
  for (const folder of ["lib", "cli", "bench"]) {
    for await (const path of sourcesUnder(folder, root)) {
      const text = await Deno.readTextFile(new URL(path, root));
      if (!ROWS.includes(path) && compared.test(text)) found.push(path);
    }
  }
  assertEquals(found, []);
  assert(compared.test('moe.router === "relu"') && compared.test('case "topk":'));
});

async function* sourcesUnder(folder: string, root: URL): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder, root))) {
    if (isDirectory) yield* sourcesUnder(`${folder}/${name}`, root);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}
