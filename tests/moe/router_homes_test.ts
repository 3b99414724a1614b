/** Checks that every router in the table is present where TypeScript cannot enforce it. @module */

import { assert, assertEquals } from "@std/assert";
import { CASES } from "../../bench/peers/equality.ts";
import { KERNEL_CASES } from "../../kernels/cases/mod.ts";
import { ROUTER_NAMES, type RouterName } from "../../lib/moe/routers.ts";

const ROOT = new URL("../../", import.meta.url);

/** Routers that the CUDA build has; one without its own kernels runs wherever tensors do. */
const ON_CUDA: Readonly<Record<RouterName, boolean>> = {
  ...{ dense: true, topk: true, relu: true, hash: true, lory: true },
  ...{ sparsemixer: true, "expert-choice": true, sigmoid: true },
};

/** The contract's functions that a router's file calls. */
async function symbolsOf(name: RouterName): Promise<string[]> {
  const text = await Deno.readTextFile(
    new URL(`lib/moe/${name.replaceAll("-", "_")}_router.ts`, ROOT),
  );
  return [...text.matchAll(/symbols\.(remoe_\w+)/g)].map(([, symbol]) => symbol!);
}

Deno.test("every router's kernels have cases", async () => {
  const covered = new Set(KERNEL_CASES.flatMap(({ symbols }) => symbols as readonly string[]));
  const called = (await Promise.all(ROUTER_NAMES.map(symbolsOf))).flat();
  assert(called.includes("remoe_relu_router_forward"));
  assertEquals(called.filter((symbol) => !covered.has(symbol)), []);
});

Deno.test("the CUDA build has exactly the routers it is said to have", async () => {
  let sources = "";
  for await (const { name } of Deno.readDir(new URL("kernels/cuda/moe", ROOT))) {
    if (name.endsWith(".cu")) {
      sources += await Deno.readTextFile(new URL(`kernels/cuda/moe/${name}`, ROOT));
    }
  }
  for (const name of ROUTER_NAMES) {
    const has = (await symbolsOf(name)).every((symbol) => sources.includes(`${symbol}(`));
    assertEquals(has, ON_CUDA[name], name);
  }
});

Deno.test("every router has a PyTorch implementation, and cases that compare it", async () => {
  const text = await Deno.readTextFile(new URL("bench/peers/pytorch/routers/__init__.py", ROOT));
  const [, table = ""] = /^ROUTERS.*?= \{\n([^]*?)^\}/m.exec(text) ?? [];
  const rows = [...table.matchAll(/^ {4}"([\w-]+)":/gm)].map(([, name]) => name);
  assertEquals(rows, [...ROUTER_NAMES]);
  const compared = new Set(Object.values(CASES).map(({ moe }) => moe?.router ?? "relu"));
  assertEquals(ROUTER_NAMES.filter((name) => !compared.has(name)), []);
});
