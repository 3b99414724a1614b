/** What a run computes from its settings and metrics alone. @module */

import * as train from "@remoe/remoe/train";
import { ROUTER_NAMES } from "../../../lib/moe/routers.ts";
import { demand, type Entry } from "../entry.ts";
import { attentionParametersOf, type Config } from "../reference_config.ts";

const MODEL = { layers: 2, hidden: 8, heads: 2, groups: 1, ffn: 6, vocabulary: 257 };
const NANO = train.parseConfig({ preset: "nano" });
const STEP = { step: 7, lambda: 0.1, l1_reg: 0.2, loss: 3, sparsity: 0.4, target: 0.875 };

function demandObject(value: unknown): asserts value is Record<string, unknown> {
  demand(typeof value === "object" && value !== null, "no object");
}

function demandWhole(values: Record<string, unknown>, least: number) {
  for (const [name, value] of Object.entries(values)) {
    demand(Number.isSafeInteger(value) && value as number >= least, name);
  }
}

function demandFinite(values: Record<string, unknown>) {
  for (const [name, value] of Object.entries(values)) demand(Number.isFinite(value), name);
}

const schedules: readonly Entry[] = [
  {
    of: "learningRate",
    make: () => [60, { lr: 1e-3, warmup: 10, steps: 110, final_ratio: 0.1 }],
    call: train.learningRate,
    right: (step, options) => {
      demandObject(options);
      const { lr, warmup, steps, final_ratio } = options as Record<string, number>;
      demandWhole({ step, warmup, steps }, 0);
      demandFinite({ lr, final_ratio });
      if (step < warmup!) return lr! * step / warmup!;
      const done = steps! > warmup! ? Math.min(1, (step - warmup!) / (steps! - warmup!)) : 0;
      const least = lr! * final_ratio!;
      const share = Math.cos(Math.PI * done / 2) ** 2;
      return lr! * share + least * (1 - share);
    },
  },
  {
    of: "initialStage",
    make: () => ["topk"],
    call: train.initialStage,
    right: (router) => {
      demand(ROUTER_NAMES.includes(router), "router");
      const isExact = ["topk", "sparsemixer"].includes(router);
      const from = isExact ? 0 : null;
      const stage = isExact ? "sparse" : "dense";
      return { stage, sparsifying_from: from, sparse_from: from };
    },
  },
  {
    of: "advanceStage",
    make: () => [{ stage: "dense", sparsifying_from: null, sparse_from: null }, { ...STEP }],
    call: train.advanceStage,
    right: (state, observed) => {
      demandObject(state);
      demandObject(observed);
      const { step, lambda, l1_reg, loss, sparsity, target } = observed as typeof STEP;
      demand(["dense", "sparsifying", "sparse"].includes(state.stage as string), "stage");
      demandFinite({ step, lambda, l1_reg, loss, sparsity, target });
      const begins = state.stage === "dense" && lambda * l1_reg >= 0.001 * loss;
      return begins ? { ...state, stage: "sparsifying", sparsifying_from: step } : state;
    },
  },
];

const sizes: readonly Entry[] = [
  {
    of: "countParameters",
    make: () => [{ ...NANO.model, ...MODEL }, { ...NANO.moe }],
    call: train.countParameters,
    right: (model, moe) => {
      demandObject(model);
      demandObject(moe);
      const { layers, hidden, heads, groups, ffn, vocabulary } = model as typeof MODEL;
      const { tied, head_dim = null, qk_norm, ...others } = model as unknown as Config["model"];
      const { experts, active, granularity, router } = moe as unknown as typeof NANO.moe;
      demandWhole({ layers, hidden, heads, groups, ffn, vocabulary }, 1);
      demandWhole({ experts, active, granularity }, 1);
      const { shared, shared_ffn, shared_gate, dense_layers, dense_ffn } = moe as Config["moe"];
      const ofRouter = (router === "dense" ? 0 : hidden * experts * granularity) +
        (shared_gate ? hidden : 0);
      const routed = layers - dense_layers.length;
      const ofExpert = 3 * hidden * ffn;
      const size = head_dim ?? hidden / heads;
      const scales = { none: 0, full: (heads + groups) * size, head: 2 * size }[qk_norm]!;
      const counts = {
        embeddings: (tied ? 1 : 2) * vocabulary * hidden,
        attention: layers * attentionParametersOf({ ...others, tied, head_dim, qk_norm: "none" }),
        routers: routed * ofRouter,
        norms: hidden + layers * (2 * hidden + scales),
      };
      const always = Object.values(counts).reduce((sum, count) => sum + count, 0);
      const apart = 3 * hidden *
        (routed * (shared_ffn ?? 0) + dense_layers.length * (dense_ffn ?? ffn));
      const [all, used] = [experts + shared / granularity, active]
        .map((count) => routed * count * ofExpert + apart);
      return { ...counts, experts: all, total: always + all!, active: always + used! };
    },
  },
  {
    of: "memoryLimit",
    make: () => [train.parseConfig({ memory: { limit_gib: 2 } }), 2 ** 34],
    call: train.memoryLimit,
    right: (config, bytes) => {
      demandObject(config);
      demandObject(config.memory);
      demand(typeof bytes === "number" && bytes > 0, "bytes");
      const { limit_gib: limit } = config.memory;
      return limit === null ? 0.85 * bytes : limit as number * 2 ** 30;
    },
  },
];

/** Schedules, stages and sizes of a run. */
export const runs: readonly Entry[] = [...schedules, ...sizes];
