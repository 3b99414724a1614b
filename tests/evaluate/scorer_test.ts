/** Scores of requests against the model's own logits, one request at a time. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { Device } from "../../lib/autograd/device.ts";
import { parseConfig } from "../../lib/config/parse_config.ts";
import { CacheScorer } from "../../lib/evaluate/cache_scorer.ts";
import { LogitsScorer } from "../../lib/evaluate/logits_scorer.ts";
import type { ScoreRequest } from "../../lib/evaluate/request.ts";
import type { Score } from "../../lib/evaluate/scorer.ts";
import { buildModel } from "../../lib/model/build_model.ts";
import type { LanguageModel } from "../../lib/nn/language_model.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import { download } from "../../lib/tensor/transfer.ts";
import { openDevice } from "../tensor/open_device.ts";

/** A request's score by softmax over all logits of it alone, in float64. */
function reference(device: Device, model: LanguageModel<Real>, request: ScoreRequest): Score {
  using _scope = device.noGradient();
  const { tokens, scored } = request;
  const length = tokens.length - 1;
  const logits = download(unwrapped(
    model.logits(device.tokens(tokens.subarray(0, length)), length, { training: false }),
  ));
  const { vocabulary } = model;
  let [logLikelihood, isGreedy] = [0, true];
  for (let i = length - scored; i < length; i++) {
    const row = [...logits.subarray(i * vocabulary, (i + 1) * vocabulary)];
    const top = Math.max(...row);
    const sum = row.reduce((total, logit) => total + Math.exp(logit - top), 0);
    logLikelihood += row[tokens[i + 1]!]! - top - Math.log(sum);
    isGreedy &&= row.indexOf(top) === tokens[i + 1]!;
  }
  return { logLikelihood, isGreedy };
}

/** Routers whose scores mean something. */
const ROUTERS = ["dense", "hash", "relu", "sigmoid", "sparsemixer", "topk"] as const;

function modelOf(device: Device, router: typeof ROUTERS[number]) {
  const moe = router === "dense" ? { router, experts: 1, active: 1 } : { router, experts: 4 };
  const model = { layers: 2, hidden: 16, heads: 2, ffn: 32, vocabulary: 300, init_std: 0.5 };
  return buildModel(device, parseConfig({ preset: "pico", model, moe }));
}

function random(length: number, seed: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => (i * 7919 + seed * 104729) % 257);
}

/** Items of one, two and four continuations of a context, of various lengths. */
function itemsOf(model: LanguageModel<Real>, device: Device): ScoreRequest[][] {
  const items = [[1, 5], [9, 1, 3], [30, 2, 2, 17, 4], [12, 6]].map(([context, ...lengths], i) =>
    lengths.map((scored, j): ScoreRequest => ({
      tokens: Int32Array.from([...random(context!, i), ...random(scored, 10 * i + j + 50)]),
      scored,
    }))
  );
  // One whose continuation is the model's own.
  const tokens = [...random(8, 3)];
  using _scope = device.noGradient();
  for (let drawn = 0; drawn < 3; drawn++) {
    const logits = model.nextLogits(device.tokens(Int32Array.from(tokens)));
    const row = download(unwrapped(logits));
    tokens.push(row.indexOf(row.reduce((top, each) => Math.max(top, each))));
  }
  return [...items, [{ tokens: Int32Array.from(tokens), scored: 3 }]];
}

Deno.test("scores are those of each request alone, whatever its batch and its router", async () => {
  using device = await openDevice({ seed: 1 });
  for (const router of ROUTERS) {
    using built = modelOf(device, router);
    const items = itemsOf(built.model, device);
    const expected = items.map((requests) =>
      requests.map((request) => reference(device, built.model, request))
    );
    // Batches of one item, of some, and of all.
    for (const batch of [1, 100, 10_000]) {
      for (const Kind of [LogitsScorer, CacheScorer]) {
        const scorer = new Kind(device, built.model, batch);
        const what = `${router}, ${Kind.name}, ${batch}`;
        let done = 0;
        const scores = scorer.score(items, (tokens) => void (done += tokens));
        assertEquals(scores.map(({ length }) => length), items.map(({ length }) => length));
        for (const [i, { logLikelihood, isGreedy }] of scores.flat().entries()) {
          const alone = expected.flat()[i]!;
          assertAlmostEquals(logLikelihood, alone.logLikelihood, 1e-4, `${what}, ${i}`);
          assertEquals(isGreedy, alone.isGreedy, `${what}, ${i}`);
        }
        assertEquals(done, scorer.cost(items), what);
      }
    }
    assert(expected.at(-1)![0]!.isGreedy && !expected[2]![3]!.isGreedy, router);
  }
});

Deno.test("the continuations of a context share all of it but its last token", async () => {
  using device = await openDevice({ seed: 1 });
  using built = modelOf(device, "topk");
  const scorer = new CacheScorer(device, built.model);
  const request = (tokens: number[], scored: number): ScoreRequest => ({
    tokens: Int32Array.from(tokens),
    scored,
  });
  const cost = (...requests: ScoreRequest[]): number => scorer.cost([requests]);
  // 1 2 once, then 3 4 and 3.
  assertEquals(cost(request([1, 2, 3, 4, 5], 2), request([1, 2, 3, 6], 1)), 2 + 2 + 1);
  // Contexts cut at different places share nothing.
  assertEquals(cost(request([1, 2, 3, 4, 5], 2), request([2, 3, 6], 1)), 4 + 2);
  // What is scored is not shared, even if it is the same.
  assertEquals(cost(request([1, 7, 8, 9], 3), request([1, 7, 8, 9], 3)), 3 + 3);
  assertEquals(cost(request([1, 2, 3], 1)), 2);
});
