import { BASE } from "../../lib/config/presets.ts";
import { sparseFrom } from "../../lib/moe/router_of.ts";
import { ROUTERS } from "../../lib/moe/routers.ts";
import { stageAt } from "../../lib/train/stage.ts";
import { assertEquals } from "@std/assert";
import { advanceStage, initialStage, type StageObservation } from "../../lib/train/mod.ts";

const QUIET: StageObservation = {
  step: 1,
  lambda: 1e-8,
  l1_reg: 0.3,
  loss: 5,
  sparsity: 0.5,
  target: 0.875,
};

Deno.test("`advanceStage()` leaves the dense stage once the regularisation is a thousandth of the loss", () => {
  const dense = initialStage("relu");
  assertEquals(advanceStage(dense, QUIET), dense);
  const below = { ...QUIET, step: 60, lambda: 0.0049, l1_reg: 1, loss: 5 };
  assertEquals(advanceStage(dense, below), dense);
  assertEquals(advanceStage(dense, { ...below, lambda: 0.005 }), {
    stage: "sparsifying",
    sparsifying_from: 60,
    sparse_from: null,
  });
});

Deno.test("`advanceStage()` needs a later step to reach sparse", () => {
  const step = { ...QUIET, step: 60, lambda: 1, sparsity: 0.9 };
  const sparsifying = advanceStage(initialStage("relu"), step);
  assertEquals(sparsifying.stage, "sparsifying");
  assertEquals(advanceStage(sparsifying, { ...step, step: 61, sparsity: 0.8749 }), sparsifying);
  assertEquals(advanceStage(sparsifying, { ...step, step: 62, sparsity: 0.875 }), {
    stage: "sparse",
    sparsifying_from: 60,
    sparse_from: 62,
  });
});

Deno.test("`advanceStage()` never goes back", () => {
  const sparse = { stage: "sparse", sparsifying_from: 60, sparse_from: 90 } as const;
  assertEquals(advanceStage(sparse, { ...QUIET, step: 91, sparsity: 0 }), sparse);
  const sparsifying = { stage: "sparsifying", sparsifying_from: 60, sparse_from: null } as const;
  assertEquals(advanceStage(sparsifying, { ...QUIET, step: 61 }), sparsifying);
});

Deno.test("`advanceStage()` ignores high sparsity while the regularisation is negligible", () => {
  assertEquals(advanceStage(initialStage("relu"), { ...QUIET, sparsity: 1 }).stage, "dense");
});

Deno.test("`initialStage()` is sparse for TopK and dense for the others", () => {
  assertEquals(initialStage("topk").stage, "sparse");
  assertEquals(initialStage("dense").stage, "dense");
  assertEquals(JSON.parse(JSON.stringify(initialStage("relu"))), initialStage("relu"));
});

Deno.test("`stageAt()` is sparse from the step that a router's row names", () => {
  assertEquals(stageAt(0, sparseFrom(ROUTERS.topk, BASE.moe)).sparse_from, 0);
  const from = sparseFrom(ROUTERS.topk, { ...BASE.moe, warmup_active: 8, warmup_steps: 5 });
  assertEquals(from, 5);
  // Steps 1 to 5 warm up; the sixth is the first with k experts.
  assertEquals([0, 5].map((step) => stageAt(step, from).stage), ["dense", "dense"]);
  assertEquals(stageAt(6, from), { stage: "sparse", sparsifying_from: 6, sparse_from: 6 });
  assertEquals(sparseFrom(ROUTERS.relu, BASE.moe), null);
  assertEquals(stageAt(9, null).stage, "dense");
});
