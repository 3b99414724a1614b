/** Run directories for tests, as training writes them. @module */

import type { RouterName } from "../../lib/moe/routers.ts";
import { JsonlSink, parseConfig, type Stage, type StepMetrics } from "../../lib/train/mod.ts";

/** Properties of a test's run. */
export interface TestRun {
  readonly router?: RouterName;
  readonly steps?: number;
  readonly layers?: number;
  readonly experts?: number;
  readonly domains?: readonly string[];
  /** Whether flips are measured at every tenth step. */
  readonly flips?: boolean;
}

/** The metrics of a step in a run that is dense to step 10, sparsifying to 20, then sparse. */
export function stepOf(step: number, run: TestRun = {}): StepMetrics {
  const { router = "relu", layers = 2 } = run;
  const experts = router === "dense" ? 1 : run.experts ?? 4;
  const stage: Stage = router === "dense"
    ? "dense"
    : router === "topk" || step > 20
    ? "sparse"
    : step > 10
    ? "sparsifying"
    : "dense";
  const sparsity = router === "dense" ? 0 : stage === "sparse" ? 0.75 : 0.5;
  return {
    step,
    loss: 5 / Math.sqrt(step),
    lr: 1e-3,
    grad_norm: 1,
    sparsity,
    sparsity_per_layer: Array.from({ length: layers }, (_, layer) => sparsity + layer / 100),
    lambda: 1e-8 * 1.2 ** step,
    l1_reg: 0.1,
    expert_load: Array.from({ length: layers }, () => Array<number>(experts).fill(1 / experts)),
    tokens_without_expert: 0,
    idle_experts: 0,
    closed_layers: 0,
    stage,
    dtype: "f32",
    tokens: 64 * step,
    tokens_per_second: 1000 + step,
    gflops: 1,
    gflops_executed: 2,
    ms: 10,
    memory_bytes: 2 ** 20,
  };
}

/** Writes a run directory. */
export function writeRun(path: string, run: TestRun = {}): string {
  const { router = "relu", steps = 30, layers = 2, experts = 4, domains = [] } = run;
  Deno.mkdirSync(path, { recursive: true });
  const config = parseConfig({
    preset: "pico",
    steps,
    model: { layers },
    moe: router === "dense" ? { router } : { router, experts },
  });
  Deno.writeTextFileSync(`${path}/config.json`, JSON.stringify(config));
  using sink = new JsonlSink(`${path}/metrics.jsonl`);
  for (let step = 1; step <= steps; step++) {
    sink.write(stepOf(step, run));
    if (step % 10 !== 0) continue;
    if (run.flips) {
      sink.write({
        ...{ step, flip_rate: 1 / step, flip_count: experts / step },
        flip_rate_per_layer: Array.from({ length: layers }, () => 1 / step),
      });
    }
    sink.write({
      step,
      valid_loss: 5 / Math.sqrt(step),
      valid_bits_per_byte: 7 / Math.sqrt(step),
      ...(domains.length === 0 ? {} : {
        valid_loss_by_domain: Object.fromEntries(domains.map((name, index) => [name, index + 1])),
      }),
    });
  }
  return path;
}
