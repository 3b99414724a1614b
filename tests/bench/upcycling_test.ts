import { assertEquals } from "@std/assert";
import { report } from "../../bench/upcycling/report.ts";
import type { RunFigures } from "../../bench/upcycling/runs.ts";

function run(loss: number, gflops = 10): RunFigures {
  const course = [{ loss: loss + 1, sparsity: 0.5 }, { loss, sparsity: 0.875 }];
  return { steps: 2, gflops, lastGflops: 5, loss, losses: new Map([[2, loss]]), course };
}

function runs(seed: number): Map<string, RunFigures> {
  const ofRouter = (router: string, loss: number): [string, RunFigures][] => [
    [`${router}, upcycled`, run(loss)],
    [`${router}, upcycled noise 0.3`, run(loss + 0.5)],
    [`${router}, equal additional compute`, run(loss + 1 + seed / 10)],
    [`${router}, equal total compute`, run(loss - 1, 20)],
  ];
  return new Map([
    ["dense, continued", run(2)],
    ...ofRouter("relu", 2),
    ...ofRouter("topk", 3),
    ["topk to relu", run(4)],
  ]);
}

Deno.test("the report pairs runs by seed, with intervals", () => {
  const lines = report([0, 1].map((seed) => ({ seed, runs: runs(seed) }))).split("\n");
  const found = (start: string): string | undefined => lines.find((line) => line.startsWith(start));
  assertEquals(found("| relu, upcycled |"), "| relu, upcycled | 2 | 2.0000 ± 0.0000 | 10G |");
  assertEquals(
    found("| relu, upcycled − relu, equal additional"),
    "| relu, upcycled − relu, equal additional compute | −1.0500 [−1.6853, −0.4147] |",
  );
  assertEquals(
    found("| topk, upcycled − topk, equal total"),
    "| topk, upcycled − topk, equal total compute | +1.0000 [+1.0000, +1.0000] |",
  );
  assertEquals(
    found("| topk, upcycled noise 0.3 − topk"),
    "| topk, upcycled noise 0.3 − topk, upcycled | +0.5000 [+0.5000, +0.5000] |",
  );
  assertEquals(lines.at(-1), "| 1 | 5.000 | 0.500 | 3.000 | 0.500 | 4.050 | 0.500 |");
});
