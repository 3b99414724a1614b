import { assert, assertEquals, assertThrows } from "@std/assert";
import { modelEntries } from "../../lib/checkpoint/weight_layout.ts";
import { buildModel } from "../../lib/model/build_model.ts";
import { countParameters, executedFlops, parseConfig } from "../../lib/train/mod.ts";
import { ConfigError, read, write } from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

const SIZES = {
  preset: "pico",
  model: { layers: 1, hidden: 16, heads: 2, vocabulary: 300 },
} as const;

function configOf(shared: number) {
  return parseConfig({ ...SIZES, moe: { router: "topk", active: 2, granularity: 2, shared } });
}

Deno.test("shared experts count in the active width, and add to the total", async () => {
  using device = await openDevice({ seed: 1 });
  const config = configOf(1);
  using built = buildModel(device, config);
  const size = [...built.model.parameters()].reduce((sum, parameter) => sum + parameter.size, 0);
  const { total, active, experts } = countParameters(config.model, config.moe);
  assertEquals(size, total);
  const plain = countParameters(configOf(0).model, configOf(0).moe);
  assertEquals(active, plain.active);
  assertEquals(experts - plain.experts, 3 * 16 * 32);
});

Deno.test("the router chooses the experts that the shared ones leave", async () => {
  using device = await openDevice({ seed: 1 });
  using built = buildModel(device, configOf(3));
  using _scope = device.noGradient();
  const counts: Promise<Int32Array>[] = [];
  built.model.logits(device.tokens([1, 2, 3, 4]), 4, {
    onRouting: (_, routing) => counts.push(read(routing.counts) as Promise<Int32Array>),
  });
  const [each] = await Promise.all(counts);
  assertEquals(each!.length, 16);
  assertEquals(each!.reduce((sum, count) => sum + count, 0), 4);
});

Deno.test("a shared expert works on every token, routed or not", async () => {
  using device = await openDevice({ seed: 1 });
  using built = buildModel(device, configOf(1));
  const shared = [...built.model.parameters()].filter(({ name }) => name.includes("shared_expert"));
  assertEquals(shared.map(({ shape }) => shape.join()), ["16,64", "32,16"]);
  using _scope = device.noGradient();
  const logits = async () => await read(built.model.logits(device.tokens([1, 2, 3, 4]), 4));
  const before = await logits();
  await write(shared[1]!, new Float32Array(shared[1]!.size).fill(0.5));
  const after = await logits();
  for (let token = 0; token < 4; token++) {
    const row = (values: Float32Array) => values.subarray(300 * token, 300 * (token + 1)).join();
    assert(row(before) !== row(after), `token ${token}`);
  }
});

Deno.test("checkpoints hold a shared expert as three matrices", async () => {
  using device = await openDevice({ seed: 1 });
  const config = configOf(1);
  using built = buildModel(device, config);
  const entries = [...modelEntries(built.model.parameters(), config)]
    .filter(({ name }) => name.includes("shared_expert"))
    .map(({ name, shape }) => `${name.split("block_sparse_moe.")[1]} [${shape}]`);
  assertEquals(entries, [
    "shared_expert.gate_proj.weight [32,16]",
    "shared_expert.up_proj.weight [32,16]",
    "shared_expert.down_proj.weight [16,32]",
  ]);
});

Deno.test("FLOPs count the shared experts' rows beside the routed ones", () => {
  const { model, moe } = configOf(1);
  const work = { sequences: 2, sequence: 8, rows: [48] };
  const { experts } = executedFlops(model, moe, work);
  assertEquals(experts, 18 * (48 + 16) * 16 * 32);
});

Deno.test("a router needs an expert that is not shared", () => {
  assertThrows(() => configOf(4), ConfigError, "moe.shared is 4, expected below");
  assertThrows(
    () => parseConfig({ moe: { router: "dense", shared: 1 } }),
    ConfigError,
    "moe.shared is 1, expected 0",
  );
});

Deno.test("`moe.router_std` follows model.init_std, and sets the router's weights alone", async () => {
  assertEquals(parseConfig({ model: { init_std: 0.03 } }).moe.router_std, 0.03);
  using device = await openDevice({ seed: 1 });
  const config = parseConfig({ ...SIZES, moe: { router_std: 2 } });
  using built = buildModel(device, config);
  const deviations = await Promise.all(
    [...built.model.parameters()]
      .filter(({ name }) => /gate\.weight|w1/.test(name))
      .map(async (parameter) => {
        const values = await read(parameter);
        return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
      }),
  );
  const [router, experts] = deviations as [number, number];
  assert(Math.abs(router - 2) < 0.5, `${router}`);
  assert(experts < 0.2, `${experts}`);
});
