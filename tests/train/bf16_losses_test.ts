/**
 * The first steps of training in bf16, against the same steps in fp32.
 *
 * How far may the losses be apart? Each rounding that the contract allows (`kernels/include/remoe.h`)
 * moves a loss by a small random amount, which depends on the model and grows from step to step. What
 * the roundings of the weights do can be seen by itself, in an fp32 run whose weights are off by a
 * random part of half an ulp of bf16, drawn anew for each step. Several such runs give the deviation
 * σ of each step's loss.
 *
 * A block has 4 rounded weights and, as tests/nn/bf16_model_test.ts counts, 12 rounded activations
 * each way. An activation's relative error is no larger than a weight's, but another one for every
 * token, so that it averages out in the mean loss, while a weight's is common to all of them. The
 * variance of all roundings together is therefore at most (4 + 12 + 12) / 4 times that of the
 * weights', and a normal number is more than 3 of its deviations off once in 370 times.
 *
 * A correct run is about 1.1 σ off, truncated weights are 20, weights without fp32 masters 12. Only
 * errors with a direction show: one rounding too many is one of thirty, and is for the cases of the
 * single kernels to find.
 */
import { assert } from "@std/assert";
import { fromBfloat16, Random, toBfloat16 } from "../../kernels/cases/random.ts";
import { openTokenizer, prepareCorpus } from "../../lib/data/mod.ts";
import { bundledText } from "../../lib/data/text/bundled_text.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import { download, upload } from "../../lib/tensor/transfer.ts";
import { parseConfig } from "../../lib/train/mod.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { openDevice } from "../tensor/open_device.ts";

const STEPS = 20;
const DISTURBED_RUNS = 8;
const MOST = 3 * Math.sqrt((4 + 12 + 12) / 4);

type Numbers = Float32Array<ArrayBuffer>;

/** What a step's products read in place of the weights, and what the weights are after the step. */
interface Treatment {
  before?(weights: Numbers): Numbers;
  after?(weights: Numbers): Numbers;
}

const same = (weights: Numbers): Numbers => weights;

/** Half an ulp of bf16, a rounding's largest error, is 2^-8 of the power of two below a number. */
function disturbed(seed: string): Treatment {
  const random = new Random(seed);
  const off = (x: number): number => {
    const ulp = x === 0 ? 0 : 2 ** (Math.floor(Math.log2(Math.abs(x))) - 7);
    return x + ulp * (random.next() - 0.5);
  };
  return { before: (weights) => weights.map(off) };
}

const TRUNCATED: Treatment = {
  before: (weights) => {
    const bits = new Uint32Array(weights.slice().buffer).map((word) => word & 0xffff0000);
    return new Float32Array(bits.buffer);
  },
};

/** Weights that are kept in bf16, and lose what an update adds below its last digit. */
const WITHOUT_MASTERS: Treatment = { after: (weights) => fromBfloat16(toBfloat16(weights)) };

/** Trains pico; returns the losses. */
async function losses(
  dtype: Real,
  { before = same, after = same }: Treatment = {},
): Promise<number[]> {
  const data = { batch: 4, micro_batch: 4 };
  const config = parseConfig({ preset: "pico", model: { dtype }, data });
  using device = await openDevice({ threads: 1 });
  using trainer = new Trainer(config, { device, ...TEXT });
  const weights = [...trainer.parameters()]
    .filter(({ name }) => !/norm|gate\.weight/.test(name)).map(unwrapped);
  return Array.from({ length: STEPS }, () => {
    const masters = weights.map(download) as Numbers[];
    const read = masters.map(before);
    weights.forEach((tensor, i) => upload(tensor, read[i]!));
    const { loss } = trainer.step();
    weights.forEach((tensor, i) => {
      // What the step has added to the weights it read, added to the masters.
      const stepped = download(tensor) as Numbers;
      for (const [j, master] of masters[i]!.entries()) stepped[j]! += master - read[i]![j]!;
      upload(tensor, after(stepped));
    });
    return loss;
  });
}

async function openText() {
  const tokenizer = await openTokenizer("byte");
  return { tokenizer, corpus: await prepareCorpus(await bundledText(), tokenizer) };
}
const TEXT = await openText();

const rootMeanSquare = (values: readonly number[]): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);

Deno.test("the losses of 20 steps in bf16 are within their roundings of those in fp32", async (t) => {
  const exact = await losses("f32");
  const runs: number[][] = [];
  for (let i = 0; i < DISTURBED_RUNS; i++) runs.push(await losses("f32", disturbed(`run ${i}`)));
  const deviations = exact.map((loss, step) =>
    rootMeanSquare(runs.map((run) => run[step]! - loss))
  );
  /** How many deviations a run's losses are off, over all steps. */
  const distance = (run: readonly number[]): number =>
    rootMeanSquare(run.map((loss, step) => (loss - exact[step]!) / deviations[step]!));

  const ofBf16 = distance(await losses("bf16"));
  assert(ofBf16 > 0, "the run was in fp32");
  assert(ofBf16 < MOST, `${ofBf16} deviations`);

  for (const [fault, treatment] of Object.entries({ TRUNCATED, WITHOUT_MASTERS })) {
    await t.step(`${fault} is seen`, async () => {
      const far = distance(await losses("bf16", treatment));
      assert(far > MOST, `${far} deviations`);
    });
  }
});
