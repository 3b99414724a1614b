import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { divideMemory } from "../../lib/compare/job_memory.ts";
import { estimatedFlops, hasKnownFlops, stepsWithin } from "../../lib/compare/match_compute.ts";
import { comparePlan, type RowConfigs, runIdentity } from "../../lib/compare/plan.ts";
import { executedFlops, parseConfig } from "../../lib/train/mod.ts";

const TOPK = parseConfig({ preset: "pico", moe: { router: "topk" } });
const RELU = parseConfig({ preset: "pico" });

Deno.test("runs that others are matched to come first, seed after seed", () => {
  const row = (label: string, matched: string | null): RowConfigs => ({
    ...{
      label,
      name: label,
      cell: "",
      isa: null,
      target: 0.75,
      causal: "all" as const,
      baseline: null,
      matched,
    },
    configs: [0, 1].map((seed) => ({ ...TOPK, seed })),
  });
  const rows = [row("topk", "relu"), row("plain", null), row("relu", null)];
  const { runs } = comparePlan(rows, [0, 1]);
  assertEquals(runs.map(({ row, seed }) => `${row} ${seed}`), [
    ...["relu 0", "plain 0", "topk 0"],
    ...["relu 1", "plain 1", "topk 1"],
  ]);
  assertEquals(runs[2]!.matched, runs[0]);
  assertEquals(runs[5]!.matched, runs[3]);
});

Deno.test("a run is what its figures depend on", () => {
  const id = runIdentity(TOPK, null);
  const same = { out: "/elsewhere", threads: 3, checkpoint: { every: 1, keep: 9 } };
  assertEquals(runIdentity({ ...TOPK, ...same }, null), id);
  assertEquals(runIdentity(parseConfig({ ...TOPK }), null), id);
  assertNotEquals(runIdentity(TOPK, "avx2"), id);
  for (const over of [{ steps: 9 }, { seed: 1 }, { optimizer: { ...TOPK.optimizer, lr: 1e-4 } }]) {
    assertNotEquals(runIdentity({ ...TOPK, ...over }, null), id);
  }
});

Deno.test("steps at equal compute spend the other run's FLOPs", () => {
  assert(hasKnownFlops(TOPK) && !hasKnownFlops(RELU));
  const { model, moe, data } = TOPK;
  const rows = Array(model.layers).fill(data.batch * data.sequence * moe.active);
  const { total } = executedFlops(model, moe, {
    sequences: data.batch,
    sequence: data.sequence,
    rows,
  });
  assertEquals(estimatedFlops({ ...TOPK, steps: 7 }), 7 * total);
  for (const steps of [1, 2, 317]) assertEquals(stepsWithin(TOPK, steps * total), steps);
  // A shared expert takes the place of a routed one.
  const shared = parseConfig({ preset: "pico", moe: { router: "topk", active: 2, shared: 1 } });
  const two = parseConfig({ preset: "pico", moe: { router: "topk", active: 2 } });
  assertEquals(estimatedFlops(shared), estimatedFlops(two));
  assertEquals(stepsWithin(TOPK, 3.4 * total), 3);
  assertEquals(stepsWithin(TOPK, 3.6 * total), 4);
  assertEquals(stepsWithin(TOPK, 1), 1);
});

Deno.test("steps at equal compute count the rows that expert choice rounds off", () => {
  const moe = { router: "expert-choice", experts: 7, capacity: 1 } as const;
  const choice = parseConfig({
    preset: "pico",
    moe,
    data: { batch: 4, micro_batch: 2, sequence: 15 },
  });
  const { model } = choice;
  // Each expert takes ⌊30 / 7⌋ tokens of a micro-batch.
  const rows = Array(model.layers).fill(2 * 7 * 4);
  const { total } = executedFlops(model, choice.moe, { sequences: 4, sequence: 15, rows });
  assertEquals(estimatedFlops({ ...choice, steps: 3 }), 3 * total);
  assertEquals(stepsWithin(choice, 1000 * total), 1000);
});

Deno.test("memory is divided between the jobs", () => {
  const GIB = 2 ** 30;
  const runs = [{ label: "relu", config: RELU }, { label: "topk", config: TOPK }];
  assertEquals(divideMemory(runs, 2, 16 * GIB), null);
  const error = assertThrows(() => divideMemory(runs, 100, 16 * GIB), TypeError, "100 jobs");
  const [, fewer] = /--jobs (\d+) would fit/.exec((error as Error).message)!;
  divideMemory(runs, Number(fewer), 16 * GIB);
  assertThrows(() => divideMemory(runs, Number(fewer) + 1, 16 * GIB), TypeError, "would fit");
  // A large one keeps less where it has to share.
  const large = parseConfig({ preset: "182m", data: { batch: 2, micro_batch: 2 } });
  const share = divideMemory([{ label: "relu", config: large }], 2, 32 * GIB);
  assert(share === null || share < 16);
  assertThrows(
    () => divideMemory([{ label: "relu", config: large }], 2, 2 * GIB),
    TypeError,
    "Cannot train within",
  );
  // Two processes, whatever they train.
  const refused = [
    [2, GIB / 4, "Cannot run relu within 256 MiB of memory: a process takes 256 MiB beside"],
    [2, 0.01 * GIB, "Cannot run relu within 10 MiB of memory"],
    [1, 0.26 * GIB, "Cannot train within 10 MiB of device memory: the run needs about 30 MiB"],
    [2, 0.4 * GIB, "their processes would take 512 MiB alone; --jobs 1 would fit"],
    [1e9, 4 * GIB, "--jobs 14 would fit"],
  ] as const;
  for (const [jobs, budget, message] of refused) {
    assertThrows(() => divideMemory(runs, jobs, 16 * GIB, budget), TypeError, message);
  }
});
