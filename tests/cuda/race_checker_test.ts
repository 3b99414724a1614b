import { assert, assertEquals, assertThrows } from "@std/assert";
import { adamwCase } from "../../kernels/cases/adamw.ts";
import { attentionGradientCase } from "../../kernels/cases/attention.ts";
import { attentionExtendCase } from "../../kernels/cases/attention_extend.ts";
import { inputsOf, type KernelCase } from "../../kernels/cases/case.ts";
import { assertMatchesReference } from "../../kernels/cases/check.ts";
import { crossEntropyCase } from "../../kernels/cases/cross_entropy.ts";
import { dispatchPlanCase } from "../../kernels/cases/dispatch_plan.ts";
import { binaryCase } from "../../kernels/cases/elementwise.ts";
import { embeddingGradientCase } from "../../kernels/cases/embedding.ts";
import { expertChoiceCase } from "../../kernels/cases/expert_choice_router.ts";
import { expertsCase, expertsGradientCase } from "../../kernels/cases/experts.ts";
import { gemmCase } from "../../kernels/cases/gemm.ts";
import { hashRouterCase } from "../../kernels/cases/hash_router.ts";
import { copyStridedCase } from "../../kernels/cases/layout.ts";
import { PlacedCase } from "../../kernels/cases/placed_case.ts";
import { reduceCase, softmaxCase, softmaxGradientCase } from "../../kernels/cases/reduction.ts";
import { reluRouterCase, reluRouterGradientCase } from "../../kernels/cases/relu_router.ts";
import { rmsNormGradientCase } from "../../kernels/cases/rms_norm.ts";
import { routingMaskCase } from "../../kernels/cases/routing_mask.ts";
import {
  sigmoidRouterCase,
  sigmoidRouterGradientCase,
} from "../../kernels/cases/sigmoid_router.ts";
import {
  sparseMixerRouterCase,
  sparseMixerRouterGradientCase,
} from "../../kernels/cases/sparsemixer_router.ts";
import { recordRoutingCase, updateLambdaCase } from "../../kernels/cases/step_state.ts";
import { tokenScoresCase } from "../../kernels/cases/token_scores.ts";
import { topkRouterCase, topkRouterGradientCase } from "../../kernels/cases/topk_router.ts";
import { transportWeightsCase } from "../../kernels/cases/transport_weights.ts";
import { DeviceError } from "../../lib/errors.ts";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import { Buffers } from "./buffers.ts";
import { type Emulator, missingCompiler, openEmulator, Order, skipped } from "./emulator.ts";
import { barriers, todaysShare, without } from "./mutants.ts";

const ignore = missingCompiler !== undefined;

/**
 * Every kernel, with more than one block, tile, chunk and patch; rows that are and are not
 * multiples of 16 bytes.
 */
const ROUTING_CASES: readonly KernelCase[] = [
  ...[[1, 1, 1], [70, 35, 9], [70, 64, 9], [65, 17, 70], [66, 68, 132]],
].flatMap(([tokens = 0, hidden = 0, experts = 0]) => [
  reluRouterCase({ tokens, hidden, experts }),
  reluRouterGradientCase({ tokens, experts, balance: "load" }),
  ...rowRouterCases(tokens, hidden, experts),
  routingMaskCase({ tokens, experts, density: 0.5 }),
  dispatchPlanCase({ tokens, experts, density: 0.5 }),
  dispatchPlanCase({ tokens, experts, density: 0.5, spare: -3 }),
]);

/** The routers that work on whole rows of logits, with every option that adds a kernel. */
function rowRouterCases(tokens: number, hidden: number, experts: number): KernelCase[] {
  const sizes = { tokens, hidden, experts, active: 1 };
  return [
    topkRouterCase({ ...sizes, renormalize: true, zScale: 1 }),
    topkRouterGradientCase({ ...sizes, renormalize: true, zScale: 1 }),
    sigmoidRouterCase({ ...sizes, normalize: true }),
    sigmoidRouterGradientCase({ ...sizes, normalize: true }),
    hashRouterCase({ tokens, experts }),
    sparseMixerRouterCase(sizes),
    sparseMixerRouterGradientCase(sizes),
    expertChoiceCase({ ...sizes, group: tokens, capacity: 1 }),
    transportWeightsCase({ tokens, experts, iterations: 2 }),
  ];
}

/** Kernels of the model around the blocks. */
const MODEL_CASES: readonly KernelCase[] = [
  ...[33, 256, 1000].map((columns) => rmsNormGradientCase(40, columns)),
  embeddingGradientCase({ count: 1100, hidden: 8, vocabulary: 300 }),
  crossEntropyCase({ tokens: 9, hidden: 4, vocabulary: 700 }),
  tokenScoresCase({ tokens: 9, hidden: 4, vocabulary: 700, rows: [8, 2, 5] }),
  // More tensors than one round of the schedule takes.
  adamwCase({
    label: "of many tensors",
    parameters: Array.from({ length: 300 }, (_, i) => ({ elements: 1 + i % 2 })),
    steps: 1,
    clip: 1,
  }),
];

/** Heads of more than one chunk, and a cache of more than one run. */
const ATTENTION_CASES: readonly KernelCase[] = [
  attentionGradientCase({ batch: 1, sequence: 65, heads: 1, groups: 1, headDim: 66 }),
  attentionExtendCase({ lengths: [256], capacity: 257, heads: 1, groups: 1, headDim: 66 }),
  attentionExtendCase({
    ...{ lengths: [2, 255], rows: [1, 0], counts: [2, 5], capacity: 257 },
    ...{ heads: 2, groups: 1, headDim: 8 },
  }),
];

/** Operations on tensors, in groups within warps and of whole blocks. */
const TENSOR_CASES: readonly KernelCase[] = [
  ...[[37, 53], [64, 64]].flatMap((shape) => [
    binaryCase("add", shape, [1, shape[1]!]),
    ...[[0], [1], [0, 1]].map((axes) => reduceCase("sum", shape, axes)),
  ]),
  reduceCase("sum", [20_003], [0]),
  reduceCase("maximum", [9, 5000], [1]),
  ...[7, 64, 5000].flatMap((columns) => [
    softmaxCase(9, columns),
    softmaxGradientCase(9, columns),
  ]),
  copyStridedCase({ label: "transpose", elements: 70 * 50, shape: [50, 70], strides: [1, 50] }),
  recordRoutingCase({ balance: "load" }),
  updateLambdaCase({ label: "above the target", excess: 1 }),
];

/** Products of every loop, and the experts: of more steps, tiles and rounds than one. */
const PRODUCT_CASES: readonly KernelCase[] = [
  gemmCase({ m: 20, n: 70, k: 40 }),
  gemmCase({ m: 20, n: 24, k: 70, storage: "bf16" }),
  gemmCase({ m: 3, n: 5, k: 300 }),
  gemmCase({ m: 70, n: 300, k: 40, transposeB: true }),
  gemmCase({ m: 72, n: 8, k: 300, transposeA: true }),
  ...(["f32", "bf16"] as const).flatMap((dtype) => [
    expertsCase({ tokens: 20, hidden: 12, width: 70, experts: 5, density: 0.9, dtype }),
    expertsGradientCase({ tokens: 20, hidden: 12, width: 70, experts: 5, density: 0.9, dtype }),
  ]),
  expertsCase({ tokens: 2, hidden: 600, width: 70, experts: 5, density: 1, kept: 0 }),
  // More experts than one round of the list of tiles takes.
  expertsCase({ tokens: 2, hidden: 3, width: 3, experts: 600, density: 0.9, kept: 0 }),
];

const CASES: readonly KernelCase[] = [
  ...[...ROUTING_CASES, ...MODEL_CASES, ...PRODUCT_CASES],
  ...[...ATTENTION_CASES, ...TENSOR_CASES],
];

/**
 * A plan of more than 256 chunks of 1024 slots, the most that one round of the second scan takes.
 */
const PLAN_IN_ROUNDS = dispatchPlanCase({ tokens: 256 * 1024, experts: 1, density: 0.01 });

/** Runs a kernel and ignores its results. */
function launch(k: KernelContext, kernelCase: KernelCase): void {
  using placed = new PlacedCase(k, kernelCase, inputsOf(kernelCase));
  placed.call();
}

/** The router on a weight buffer that the caller sets up. */
function routeWith(emulator: Emulator, weights: (memory: Buffers) => bigint): number {
  const k = emulator.context;
  using memory = new Buffers(k);
  const w = weights(memory);
  const router = reluRouterCase({ tokens: 33, hidden: 20, experts: 8 });
  using placed = new PlacedCase(k, router, inputsOf(router));
  router.call(k, (name) => name === "w" ? w : placed.address(name), 0);
  return k.symbols.remoe_synchronize(k.handle);
}

Deno.test(`the race checker finds no faults in the kernels${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator({ race: true });
  for (const each of [...CASES, PLAN_IN_ROUNDS]) launch(emulator.context, each);
  assertEquals(await emulator.locatedReports(), []);
});

Deno.test(`the checked build matches the reference${skipped}`, { ignore }, async () => {
  using emulator = await openEmulator({ race: true });
  for (const order of [Order.forward, Order.priority]) {
    emulator.configure({ order, seed: 9 });
    for (
      const each of [
        reluRouterCase({ tokens: 131, hidden: 40, experts: 70 }),
        dispatchPlanCase({ tokens: 131, experts: 70, density: 0.5 }),
      ]
    ) assertMatchesReference(emulator.context, each);
  }
  assertEquals(await emulator.locatedReports(), []);
});

// No barrier is superfluous: removing any one must show in a single run in a single order.
for (const barrier of ignore ? [] : todaysShare(barriers())) {
  const { file, line, text } = barrier;
  Deno.test(`the race checker reports \`${text}\` missing from ${file}:${line}`, async () => {
    using emulator = await openEmulator({ race: true, mutant: without(barrier) });
    try {
      for (const each of CASES) launch(emulator.context, each);
      if (emulator.reports().length === 0) launch(emulator.context, PLAN_IN_ROUNDS);
    } catch (error) {
      // A race on an index may end in a fault, but the report has been written by then.
      if (!(error instanceof DeviceError)) throw error;
    }
    const reports = await emulator.locatedReports();
    assert(reports.some((report) => report.includes("race")), `reports: ${reports.join("\n")}`);
  });
}

Deno.test(`the race checker reports uninitialised input${skipped}`, { ignore }, async () => {
  using emulator = await openEmulator({ race: true });
  routeWith(emulator, (memory) => memory.empty(20 * 8 * 4));
  const [report = ""] = await emulator.locatedReports();
  assert(report.startsWith("uninitialised read in global memory at split_weights.h:"), report);
});

Deno.test(`the race checker reports reads past the end of a block${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator({ race: true });
  routeWith(emulator, (memory) => memory.from(new Float32Array(20 * 8 - 1)));
  const [report = ""] = await emulator.locatedReports();
  assert(report.startsWith("out-of-bounds read in global memory at split_weights.h:"), report);
});

Deno.test(`a host address passed to a kernel is reported with the operation's name${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator({ race: true });
  const host = new Float32Array(20 * 8);
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(host));
  const k = emulator.context;
  const error = assertThrows(
    () => k.check(routeWith(emulator, () => address), "synchronize"),
    DeviceError,
    "an operation enqueued earlier failed on the device: a kernel touches host memory",
  );
  assert(error.message.includes("relu_router_forward"), error.message);
});
