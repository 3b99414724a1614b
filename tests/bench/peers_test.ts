/** The parts of the PyTorch comparison that can be tested without PyTorch. @module */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { capture, type CapturedStep } from "../../bench/peers/_capture.ts";
import { equalityReport, type PointFigures } from "../../bench/peers/_equality_report.ts";
import { type Measured, standings } from "../../bench/peers/_speed_report.ts";
import { openTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import { parseConfig, SafetensorsFile } from "../../lib/train/mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { TemporaryFolder } from "../temporary_folder.ts";

const LIMITS = { loss: 1e-5, gradient: 1e-3, freeLoss: 1e-4, freeSteps: 2 };

Deno.test("`capture()` writes the gradient and the gates of the trainer's own steps", async () => {
  using folder = new TemporaryFolder();
  using device = await openDevice();
  const texts = Array.from({ length: 40 }, (_, i) => `Document ${i} holds ${i * i} words.`);
  const tokenizer = await openTokenizer("byte");
  const corpus = await prepareCorpus(textsInMemory(texts), tokenizer, { cacheFolder: false });
  const config = parseConfig({
    preset: "pico",
    model: { layers: 1, hidden: 16 },
    moe: { experts: 4, lambda0: 1 },
    data: { batch: 4, micro_batch: 2, sequence: 16 },
  });
  const path = `${folder.path}/run`;
  const run = capture(config, { device, corpus, tokenizer, folder: path, steps: 2, every: 1 });
  assertEquals(run.points.map(({ step }) => step), [0, 1, 2]);
  for (const [i, { sparsity, grad_norm }] of run.steps.entries()) {
    using gradients = SafetensorsFile.open(`${path}/step-000${i}/gradients.safetensors`);
    using weights = SafetensorsFile.open(`${path}/step-000${i}/model.safetensors`);
    assertEquals([...gradients.tensors.keys()], [...weights.tensors.keys()]);
    const squares = numbersOf(gradients).map((value) => value * value);
    const norm = Math.sqrt(squares.reduce((sum, square) => sum + square, 0));
    assertAlmostEquals(norm, grad_norm, 1e-5 * grad_norm);
    using gates = SafetensorsFile.open(`${path}/step-000${i}/gates.safetensors`);
    const all = numbersOf(gates);
    assertEquals(all.length, 4 * 16 * 4);
    assertAlmostEquals(all.filter((gate) => gate === 0).length / all.length, sparsity);
  }
});

Deno.test("the equality report names what exceeds its limit, NaN included", () => {
  const report = (figures: Partial<PointFigures>, exact = 2, fp32 = 2): string[] =>
    equalityReport([{
      name: "case",
      run: { points: [], steps: [1, 2, 3].map(stepOf) },
      peer: {
        points: [{ ...POINT, ...figures }],
        steps: [1, fp32, 9].map(stepOf),
        exact_steps: [1, exact, 9].map(stepOf),
      },
    }], LIMITS).failures;
  assertEquals(report({}), []); // the third step is beyond freeSteps
  assertEquals(report({ free_gradient: 1, loss_difference: 1 }), []); // routing differs
  assertEquals(report({ forced_loss_difference: -2e-5 }), [
    "case: loss at step 0 2.0e-5 > 0.00001",
  ]);
  assertEquals(report({ gradient: NaN }).length, 1);
  assertEquals(report({}, 2.1).length, 1);
  assertEquals(report({}, NaN).length, 1);
  assertEquals(report({}, 2, 2.1), []); // PyTorch's own rounding
});

Deno.test("texts are compared in bytes, whatever the tokenizer", async () => {
  for (const name of ["byte", "gpt2"] as const) {
    const tokenizer = await openTokenizer(name);
    const [, same, other] = standings(
      {
        mode: "generate",
        measured: [
          { name: "remoe", blocks: [[1]], disturbed: [false], values: ["The quick brown fox"] },
          {
            name: "same",
            blocks: [[1]],
            disturbed: [false],
            values: [[...tokenizer.encode("The quick brown fox")]],
          },
          {
            name: "other",
            blocks: [[1]],
            disturbed: [false],
            values: [[...tokenizer.encode("The quiet brown fox")]],
          },
        ],
      },
      19,
      tokenizer,
    );
    assertEquals([same!.agreement, other!.agreement], [19, 7]);
  }
});

Deno.test("ratios are taken within a round, so a slowing machine does not affect them", async () => {
  const contender = (name: string, blocks: number[][], values: Measured["values"]): Measured => ({
    ...{ name, blocks, values },
    disturbed: blocks.map(() => false),
  });
  const [remoe, peer] = standings(
    {
      mode: "train",
      measured: [
        contender("remoe", [[10, 11, 12], [40, 44, 48], [10, 11, 12]], [3, 2]),
        contender("peer", [[22, 22, 22], [88, 88, 88], [33, 33, 33]], [3, 2.5]),
      ],
    },
    1000,
    await openTokenizer("byte"),
  );
  assert(remoe !== undefined && peer !== undefined);
  assertEquals([remoe.ratio, remoe.agreement, remoe.median], [1, 0, 12]);
  assertEquals([peer.ratio, peer.ratioRange, peer.agreement], [2, [2, 3], 0.5]);
  assertAlmostEquals(peer.tokensPerSecond, 1000 / 33e-3);
});

Deno.test("disturbed blocks count in ratios and medians only if there are no others", async () => {
  const tokenizer = await openTokenizer("byte");
  const figures = (ofRemoe: boolean[], ofPeer: boolean[]): number[] => {
    const [, peer] = standings(
      {
        mode: "train",
        measured: [
          { name: "remoe", blocks: [[10], [10], [20]], disturbed: ofRemoe, values: [3] },
          { name: "peer", blocks: [[20], [90], [40]], disturbed: ofPeer, values: [3] },
        ],
      },
      1000,
      tokenizer,
    );
    return [peer!.ratio, peer!.ratioRange[1], peer!.median, peer!.disturbed];
  };
  assertEquals(figures([false, false, false], [false, false, false]), [2, 9, 40, 0]);
  assertEquals(figures([false, false, false], [false, true, false]), [2, 2, 30, 1]);
  assertEquals(figures([false, true, false], [false, false, false]), [2, 2, 40, 0]);
  assertEquals(figures([true, true, true], [true, true, true]), [2, 9, 40, 3]);
});

const POINT: PointFigures = {
  step: 0,
  loss: 3,
  sparsity: 0.5,
  loss_difference: 0,
  forced_loss_difference: 0,
  exact_loss_difference: 0,
  pairs: 8,
  flipped_pairs: 0,
  flipped_tokens: 0,
  free_gradient: 0,
  gradient: 0,
  worst_parameter: "lm_head.weight",
  gradient_to_exact: 0,
  pytorch_gradient_to_exact: 0,
};

function stepOf(loss: number): CapturedStep {
  return { loss, lambda: 1, lr: 1, sparsity: 0, grad_norm: 1 };
}

function numbersOf(file: SafetensorsFile): number[] {
  return [...file.tensors.keys()].flatMap((name) => [
    ...new Float32Array(file.read(name).buffer),
  ]);
}
