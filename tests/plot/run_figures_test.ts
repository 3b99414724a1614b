import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { ConfigError } from "../../lib/errors.ts";
import type { RouterName } from "../../lib/moe/routers.ts";
import { finalFigures } from "../../lib/plot/final_figures.ts";
import type { Horizontal } from "../../lib/plot/horizontal.ts";
import { readRunFigures } from "../../lib/plot/run_figures.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { stepOf, writeRun } from "./runs.ts";

function steps(points: readonly { readonly x: number }[]): number[] {
  return points.map(({ x }) => x);
}

Deno.test("`readRunFigures()` collects each metric into a list, and finds the stages", () => {
  using folder = new TemporaryFolder();
  const run = readRunFigures(writeRun(`${folder.path}/run`), "mine");
  assertEquals([run.label, run.config.steps], ["mine", 30]);
  assertEquals(steps(run.figures.loss), Array.from({ length: 30 }, (_, i) => i + 1));
  assertEquals(run.figures.lambda[4], { x: 5, value: 1e-8 * 1.2 ** 5 });
  assertEquals(run.layers.map((points) => points[29]!.value), [0.75, 0.76]);
  assertEquals(steps(run.validations), [10, 20, 30]);
  assertEquals(run.stages, [
    { stage: "dense", step: 1, from: 1, to: 10 },
    { stage: "sparsifying", step: 11, from: 11, to: 20 },
    { stage: "sparse", step: 21, from: 21, to: 30 },
  ]);
  assertEquals(run.last, stepOf(30));
  assertEquals(run.finalLoad.load, [Array(4).fill(1 / 4), Array(4).fill(1 / 4)]);
});

Deno.test("`readRunFigures()` reads the requested steps", () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`);
  const run = readRunFigures(path, "mine", { from: 15, to: 22 });
  assertEquals(steps(run.figures.loss), [15, 16, 17, 18, 19, 20, 21, 22]);
  assertEquals(steps(run.validations), [20]);
  assertEquals(run.stages.map(({ from, to }) => [from, to]), [[15, 20], [21, 22]]);
  const message =
    assertThrows(() => readRunFigures(path, "mine", { from: 31 }), ConfigError).message;
  assert(message.includes("holds no step from 31 to its end"), message);
});

Deno.test("`readRunFigures()` places metrics by tokens, FLOPs and time, counting those before the range", () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`);
  const read = (along: Horizontal) => readRunFigures(path, "mine", { along, from: 19 });
  const tokens = read("tokens");
  assertEquals(steps(tokens.figures.loss).slice(0, 2), [64 * 19, 64 * 20]);
  assertEquals(steps(tokens.layers[1]!).at(-1), 64 * 30);
  assertEquals(steps(tokens.validations), [64 * 20, 64 * 30]);
  assertEquals(tokens.stages, [
    { stage: "sparsifying", step: 19, from: 64 * 19, to: 64 * 20 },
    { stage: "sparse", step: 21, from: 64 * 21, to: 64 * 30 },
  ]);
  assertEquals([tokens.load.at(0)!.from, tokens.load.at(-1)!.to], [64 * 19, 64 * 30]);
  assertEquals(tokens.finalLoad.to, 30);
  // 2 GFLOPS executed for 10 ms per step.
  assertAlmostEquals(steps(read("flops").figures.loss)[0]!, 19 * 2e9 * 0.01, 1);
  assertAlmostEquals(steps(read("time").figures.loss)[0]!, 19 * 0.01 / 60, 1e-9);
});

Deno.test("`readRunFigures()` finds where the warm-up ends", () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`);
  const { config, warm } = readRunFigures(path, "mine");
  assertEquals([config.schedule.warmup, warm], [20, 21]);
  assertEquals(readRunFigures(path, "mine", { from: 25 }).warm, 25);
  assertEquals(readRunFigures(path, "mine", { along: "tokens" }).warm, 64 * 21);
});

Deno.test("`readRunFigures()` reads a run in progress, and non-finite values", () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`, { steps: 3 });
  const line = JSON.stringify({ ...stepOf(4), grad_norm: Infinity, loss: NaN });
  Deno.writeTextFileSync(`${path}/metrics.jsonl`, `${line}\n{"step":5,"lo`, { append: true });
  const run = readRunFigures(path, "mine");
  assertEquals(steps(run.figures.loss), [1, 2, 3, 4]);
  assertEquals(run.figures.grad_norm[3]!.value, NaN);
  const { loss, validLoss, step } = finalFigures(run);
  assert(loss !== null && Number.isFinite(loss));
  assertEquals([validLoss, step], [null, 4]);
});

Deno.test("`readRunFigures()` says which file and line is wrong", () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`, { steps: 2 });
  const file = `${path}/metrics.jsonl`;
  const fail = (text: string | null): string => {
    if (text === null) Deno.removeSync(file);
    else Deno.writeTextFileSync(file, text);
    return assertThrows(() => readRunFigures(path, "mine"), ConfigError).message;
  };
  const good = JSON.stringify(stepOf(1));
  const second = `Cannot read line 2 of ${file}: it`;
  assertStringIncludes(fail(`${good}\n{oops\n`), `${second} is not JSON`);
  for (const line of ["null", "3", '"x"', "{}", '{"step":"1"}']) {
    assertStringIncludes(fail(`${good}\n${line}\n`), `${second} holds no figures of a step`);
  }
  assert(fail('{"step":1,"loss":2}\n').includes("line 1"), "a step without layers");
  assert(fail("").includes("holds no step yet"));
  assert(fail(null).includes("metrics.jsonl is missing"));
  Deno.removeSync(`${path}/config.json`);
  assert(
    assertThrows(() => readRunFigures(path, "mine"), ConfigError).message
      .includes("config.json is missing"),
  );
});

Deno.test("`finalFigures()` returns only the router's metrics", () => {
  using folder = new TemporaryFolder();
  const of = (router: RouterName) =>
    finalFigures(readRunFigures(writeRun(`${folder.path}/${router}`, { router }), router));
  const relu = of("relu");
  assertEquals(
    [relu.step, relu.tokens, relu.sparsity, relu.target, relu.sparseFrom, relu.largestLoad],
    [30, 1920, 0.75, 0.75, 21, 1],
  );
  assertEquals(relu.layers, [0.75, 0.76]);
  assertEquals([relu.idleExperts, relu.tokensPerSecond, relu.memory], [0, 1015.5, 2 ** 20]);
  assertEquals(relu.bitsPerByte, 7 / Math.sqrt(30));
  const topk = of("topk");
  assertEquals([topk.lambda, topk.sparseFrom, topk.sparsity], [null, null, 0.75]);
  const lory = of("lory");
  assertEquals([lory.sparsity, lory.target, lory.layers, lory.largestLoad], [null, null, null, 1]);
  const dense = of("dense");
  assertEquals([dense.lambda, dense.sparsity, dense.target, dense.largestLoad], [
    null,
    null,
    null,
    null,
  ]);
});
