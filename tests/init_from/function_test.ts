/** What a model computes right after its weights were taken from another. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { Device } from "../../lib/autograd/device.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { copyExperts } from "../../lib/init_from/copy_experts.ts";
import { planWeights } from "../../lib/init_from/plan_weights.ts";
import { Checkpoint, type ConfigLayer, type LayerSection } from "../../lib/train/mod.ts";
import { DenseRouter, MoE, type Parameter, read, ReluRouter } from "../../mod.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { logitsOf, STILL, tiny, trained } from "./worlds.ts";

type Case = readonly [string, ConfigLayer["moe"], LayerSection<TrainConfig["init"]>?];

/** Where the gates of every token add up to a constant, so that copies can be scaled exactly. */
const EXACT: readonly Case[] = [
  ["renormalised TopK", { router: "topk", active: 2, renormalize: true }],
  ["renormalised TopK, 8 experts", { router: "topk", experts: 8, active: 3, renormalize: true }],
  ["its slices", { router: "topk", active: 2, renormalize: true, granularity: 2 }],
  [
    "its slices, scaled by the router",
    { router: "topk", active: 2, renormalize: true, granularity: 2, gate_scale: 2 },
    { rescale: false },
  ],
  [
    "its slices, and a shared copy",
    { router: "topk", active: 2, renormalize: true, granularity: 3, shared: 3 },
  ],
  [
    "its slices, beside a layer without experts",
    { router: "topk", active: 2, renormalize: true, granularity: 2, dense_layers: [0] },
  ],
  ["sigmoid", { router: "sigmoid", active: 2 }],
  ["hash", { router: "hash" }],
  ["lory", { router: "lory" }],
  ["dense", { router: "dense", experts: 1 }],
];

Deno.test("experts copied without noise compute what the dense model does, where gates add up to 1", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  await trained(tiny(path, "dense", { steps: 10 }));
  const dense = await logitsOf(`${path}/dense`);
  for (const [index, [name, moe, init]] of EXACT.entries()) {
    const from = { from: `${path}/dense`, ...init };
    await trained(tiny(path, `${index}`, {
      ...STILL,
      moe: { experts: 4, ...moe },
      init: from,
    }));
    const logits = await logitsOf(`${path}/${index}`);
    const largest = Math.max(...logits.map((value, i) => Math.abs(value - dense[i]!)));
    assert(largest < 2e-5, `${name} is off by ${largest}`);
  }
});

Deno.test("a bf16 model starts from fp32 weights as they are", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  await trained(tiny(path, "dense"));
  const init = { from: `${path}/dense` };
  const moe = { router: "topk", experts: 4, active: 2, renormalize: true } as const;
  await trained(tiny(path, "bf16", { ...STILL, moe, init, model: { dtype: "bf16" } }));
  await trained(tiny(path, "f32", { ...STILL, moe, init, model: { dtype: "f32" } }));
  const weights = ["bf16", "f32"].map((name) => {
    using checkpoint = Checkpoint.openNewest(`${path}/${name}/checkpoints`);
    const name1 = "model.layers.1.block_sparse_moe.experts.2.w1.weight";
    const { dtype, shape } = checkpoint.model.tensors.get(name1)!;
    return checkpoint.model.read(name1, { dtype, shape });
  });
  assertEquals(weights[0], weights[1]);
});

Deno.test("a layer of copies puts out the dense layer's output times the sum of the gates", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  const config = tiny(path, "dense");
  await trained(config);
  using device = await Device.open({ kind: "cpu", threads: 1, seed: 5 });
  using checkpoint = Checkpoint.openNewest(`${path}/dense/checkpoints`);
  const { model: file } = checkpoint;
  const mlp = (name: string): boolean => name.startsWith("model.layers.1.mlp.");
  const layerOnly = {
    path: file.path,
    tensors: new Map([...file.tensors].filter(([name]) => mlp(name))),
  };
  const name = "model.layers.1.block_sparse_moe.experts";
  const options = { hidden: 16, width: 24, name } as const;
  using router = new ReluRouter(device, { hidden: 16, experts: 4, deviation: 0.3 });
  using layer = new MoE(device, { ...options, router });
  using one = new DenseRouter(device, { hidden: 16, experts: 1 });
  using dense = new MoE(device, { ...options, router: one });
  const fill = (
    target: { parameters(): Iterable<Parameter> },
    routed: number,
    moe: ConfigLayer["moe"],
  ): void => {
    const plan = planWeights(target.parameters(), tiny(path, "x", { moe }), layerOnly);
    copyExperts(plan, file, { noise: 0, shared: 1, routed: () => routed });
  };
  fill(layer, 0.5, { router: "relu", experts: 4 });
  // One expert of a routed model is a single copy.
  fill(dense, 1, { router: "relu", experts: 1 });
  using _scope = device.noGradient();
  const x = device.normal([6, 16]);
  const { output, routing } = layer.forward(x);
  const [got, gates] = [await read(output), await read(routing.gates)];
  const wanted = await read(dense.forward(x).output);
  for (const [i, value] of got.entries()) {
    const token = Math.floor(i / 16);
    const sum = gates.subarray(4 * token, 4 * token + 4).reduce((total, gate) => total + gate, 0);
    assertAlmostEquals(value, 0.5 * sum * wanted[i]!, 1e-5);
  }
  assert(gates.some((gate) => gate > 0));
});
