import { assert, assertEquals, assertThrows } from "@std/assert";
import { forwardConfig, freeMemory, trainingConfig } from "../../bench/paper/fit.ts";
import {
  aimsOf,
  measureForward,
  measureTraining,
  SUBJECTS,
  type Times,
} from "../../bench/paper/measure.ts";
import { stageTable, stepLines, throughputTable } from "../../bench/paper/tables.ts";
import { timeInTurn } from "../../bench/harness/rounds.ts";
import { ConfigError } from "../../lib/errors.ts";
import { parseConfig } from "../../lib/train/mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { someResults } from "./_results.ts";

Deno.test("`timeInTurn()` alternates, with every second round in reverse", () => {
  const order: string[] = [];
  const run = (thing: string) => void order.push(thing);
  const times = timeInTurn(["a", "b", "c"], run, { rounds: 3, probe: () => 100 });
  assertEquals(order.join(""), "abccbaabc");
  assertEquals([...times.values()].map(({ seconds }) => seconds.length), [3, 3, 3]);
  assertEquals([...times.values()].map(({ disturbed }) => disturbed), [false, false, false]);
});

Deno.test("`timeInTurn()` keeps one sample per round, and says whether any was disturbed", () => {
  const order: string[] = [];
  const kept: string[] = [];
  // Around "a": 100, 50 (again), 50; around "b", never twice the same.
  const peaks = [100, 50, 50, 1, 2, 4, 8];
  const times = timeInTurn(["a", "b"], (thing) => void order.push(thing), {
    rounds: 1,
    probe: () => peaks.shift()!,
    onSample: (thing) => kept.push(thing),
  });
  assertEquals([order.join(""), kept.join("")], ["aabbb", "ab"]);
  assertEquals([...times.values()].map(({ seconds }) => seconds.length), [1, 1]);
  assertEquals([...times.values()].map(({ disturbed }) => disturbed), [false, true]);
});

Deno.test("as many layers are measured as fit in memory, more of them forward", async () => {
  using device = await openDevice();
  const stretch = { preset: "469m", sequences: 2, mostLayers: Infinity, limit: 19e9 } as const;
  const [forward, training] = [forwardConfig(stretch), trainingConfig(stretch, device)];
  assertEquals(forward.model.layers, 24);
  assert(training.model.layers > 4 && training.model.layers < 12);
  assertEquals(training.data.micro_batch, 2);
  // An eighth of the layers with an eighth of the vocabulary.
  const { layers, vocabulary } = trainingConfig({ ...stretch, mostLayers: 3 }, device).model;
  assertEquals([layers, vocabulary], [3, 51_200 / 8]);
  assertThrows(
    () => trainingConfig({ ...stretch, limit: 1e9 }, device),
    ConfigError,
    "Cannot measure 469m with 0.9 GiB",
  );
  assert(freeMemory(2 ** 50, true) < 2 ** 50 / 2);
});

Deno.test("stages go from every gate open to k of E", () => {
  const { moe } = parseConfig({ moe: { experts: 16, active: 2 } });
  const aims = aimsOf({ ...parseConfig({}), moe });
  assertEquals(SUBJECTS.map((name) => aims[name].density), [0.125, 1, 0.5625, 0.125]);
  assertEquals(aims.MoE.router, "topk");
});

Deno.test("a small model is measured forward and in every stage", async () => {
  using device = await openDevice();
  const config = parseConfig({
    preset: "pico",
    model: { layers: 1 },
    data: { batch: 1, micro_batch: 1, sequence: 64 },
  });
  const progress: string[] = [];
  const options = { rounds: 1, onProgress: (text: string) => void progress.push(text) };
  const forward = measureForward(device, config, options);
  const training = measureTraining(device, config, options);
  assertEquals(Object.keys(forward.subjects), ["MoE", "ReMoE III"]);
  assertEquals(Object.keys(training.subjects), [...SUBJECTS]);
  const { MoE: moe, "ReMoE I": dense } = training.subjects;
  assertEquals(moe!.formula_flops, dense!.formula_flops);
  // 64 rows more for each of seven experts, width 256.
  assertEquals(dense!.flops - moe!.flops, 18 * 7 * 64 * 64 * 256);
  assert(training.optimizer!.median_s > 0);
  assertEquals(progress.length, 2 + 2 + 4);
  assertEquals(device.statistics().blocks, 0);
});

/** Times for all of nano: 1 s per subject, except the given ones. */
function someTimes(seconds: Readonly<Record<string, number>>): Times {
  const config = parseConfig({ preset: "nano", data: { batch: 2, micro_batch: 2 } });
  const results = someResults({
    "MoE": 1,
    "ReMoE I": 1,
    "ReMoE II": 1,
    "ReMoE III": 1,
    "optimizer": 0.5,
    ...seconds,
  }).cases.map((result) => ({ ...result, formula_flops: 3e9 }));
  const [optimizer] = results.filter(({ name }) => name === "optimizer");
  const subjects = Object.fromEntries(results.map((result) => [result.name, result]));
  return { config, subjects, optimizer: optimizer! };
}

function cells(line: string): string[] {
  return line.split("|").slice(1, -1).map((cell) => cell.trim());
}

Deno.test("tables give rates by formula and executed, differences and ratios to MoE", () => {
  const training = someTimes({ "ReMoE I": 4, "ReMoE II": 2, "ReMoE III": 0.8 });
  const models = [{ forward: someTimes({}), training }];
  const throughput = throughputTable(models, someResults({}).machine).split("\n");
  assertEquals(cells(throughput[2]!), [
    ...["nano", "4", "train", "3.00", "3.75", "+25.00 %"],
    ...["1.00", "0.800", "2.00", "2.50", "3 %"],
  ]);
  assertEquals(cells(throughput[3]!).slice(2, 6), ["infer", "3.00", "3.00", "+0.00 %"]);
  assertEquals(cells(stageTable(models).split("\n")[2]!), [
    ...["nano", "4", "1.00", "4.00", "2.00", "0.800"],
    ...["4.000", "2.000", "0.800", "0.500", "1.00", "2.50", "0.500"],
  ]);
  // Eight micro-batches of two sequences, and the optimizer once.
  assertEquals(
    stepLines(models),
    "A step of nano (16 x 256 tokens, computed as 8 micro-batches and the optimizer once): " +
      "MoE 8.50 s, ReMoE 32.5, 16.5 and 6.90 s in stages I, II and III",
  );
});
