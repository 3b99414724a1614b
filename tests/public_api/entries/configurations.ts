/**
 * Configurations, and what depends only on one: FLOPs, memory, whether a run may resume. @module
 */

import * as train from "@remoe/remoe/train";
import { createHash } from "node:crypto";
import { ROUTER_NAMES } from "../../../lib/moe/routers.ts";
import { demand, type Entry } from "../entry.ts";
import {
  type Config,
  demandConfig,
  demandLayer,
  demandObject,
  demandPath,
  givenOf,
  LATER_MODEL_KEYS,
  LATER_MOE_KEYS,
  parametersOf,
  tiny,
} from "../reference_config.ts";

const COUNT = "a count";

function demandCounts(values: Readonly<Record<string, unknown>>, least = 1): void {
  for (const [name, value] of Object.entries(values)) {
    demand(Number.isSafeInteger(value) && value as number >= least, `${name}: ${COUNT}`);
  }
}

function demandNames(options: unknown): void {
  if (options === undefined) return;
  demandObject(options);
  const { source = "", label = () => "" } = options;
  demand(typeof source === "string" && typeof label === "function", "names");
}

function demandFit({ lambda0 = 1e-8, lambda_floor = 0, lambda_ceiling = 1e4 }: Config["moe"]) {
  demand(lambda_floor <= lambda0 && lambda0 < lambda_ceiling, "λ");
}

/** The configuration that must result from a given one. */
function completed(input: unknown): Record<string, unknown> {
  demandLayer(input);
  const given = givenOf(input);
  demandFit((given.moe ?? {}) as Config["moe"]);
  const model = given.model as Partial<Config["model"]> | undefined;
  // 0 asks for the tokenizer's.
  return model?.vocabulary === 0 ? { ...given, model: { ...model, vocabulary: 257 } } : given;
}

const parsing: readonly Entry[] = [
  {
    of: "parseConfig",
    make: () => [tiny(), { source: "a file", label: (key: string) => `--${key}` }],
    call: train.parseConfig,
    right: (input, options) => (demandNames(options), completed(input)),
  },
  {
    of: "parseConfig",
    variant: "by a preset",
    make: () => [{ preset: "182m", moe: { experts: 4 } }],
    call: train.parseConfig,
    right: completed,
  },
  {
    of: "parseConfigLayer",
    make: () => [{ steps: 5, model: { hidden: 8 }, data: { paths: ["a"] } }, { source: "a file" }],
    call: train.parseConfigLayer,
    right: (input, options) => (demandNames(options), demandLayer(input), givenOf(input)),
  },
  {
    of: "resolveConfig",
    make: () => [[tiny(), { steps: 5, moe: { active: 2 } }], { source: "two files" }],
    call: train.resolveConfig,
    right: (layers, options) => {
      demandNames(options);
      demand(Array.isArray(layers), "layers");
      const all = Array.from(layers, completed);
      return all.reduce((below, above) => {
        const merged: Record<string, unknown> = { ...below, ...above };
        for (const [key, value] of Object.entries(above)) {
          const under = below[key];
          if (typeof value === "object" && value !== null && !Array.isArray(value)) {
            merged[key] = { ...under as object, ...value };
          }
        }
        return merged;
      }, {});
    },
  },
];

const ROUTER = "export default { build() {} };\n";

const loading: readonly Entry[] = [
  {
    of: "loadRouter",
    make: (world) => {
      const path = `${world.folder()}/router.js`;
      Deno.writeTextFileSync(path, ROUTER);
      return [path];
    },
    call: async (path) => {
      const { sha256 } = await train.loadRouter(path);
      return sha256;
    },
    right: (path) => {
      demandPath(path);
      demand(path.endsWith("/router.js"), "a file");
      return createHash("sha256").update(ROUTER).digest("hex");
    },
  },
];

/** The values that a resumed run must share, ordered by key. */
function fixed(config: Config): [string, unknown][] {
  const { model, moe, seed, validation: { batches } } = config;
  const { data: { cache: _, ...data }, optimizer: { lr: _lr, ...optimizer } } = config;
  const { from, ...start } = config.init;
  const init = from === null ? {} : start;
  const groups = { model, moe, init, data, optimizer, validation: { batches } };
  const keys = Object.entries(groups).flatMap(([group, values]) =>
    Object.entries(values).map(([key, value]): [string, unknown] => [`${group}.${key}`, value])
  );
  return [...keys, ["seed", seed] as [string, unknown]].sort(([a], [b]) => a < b ? -1 : 1);
}

/** What of that is hashed: keys younger than the hash only where they change something. */
function hashed(config: Config): [string, unknown][] {
  const later: Record<string, unknown> = {
    ...LATER_MOE_KEYS,
    router_std: config.model.init_std,
  };
  return fixed(config).filter(([key, value]) => {
    const same = LATER_MODEL_KEYS[key.replace(/^model\./, "")];
    if (key.startsWith("model.") && same !== undefined) return !same.includes(value);
    const name = key.replace(/^moe\./, "");
    const isSame = JSON.stringify(later[name]) === JSON.stringify(value);
    return !key.startsWith("moe.") || !(name in later) || !isSame;
  });
}

const resuming: readonly Entry[] = [
  {
    of: "configHash",
    make: () => [tiny()],
    call: train.configHash,
    right: (config) => {
      demandConfig(config);
      return createHash("sha256").update(JSON.stringify(hashed(config))).digest("hex");
    },
  },
  {
    of: "checkResumable",
    make: () => [tiny(), tiny({ steps: 9 })],
    call: train.checkResumable,
    right: (saved, config) => {
      demandConfig(saved);
      demandConfig(config);
      demand(JSON.stringify(fixed(saved)) === JSON.stringify(fixed(config)), "other values");
      demand(saved.preset === config.preset && saved.out === config.out, "another run");
      demand(saved.init.from === config.init.from, "another start");
    },
  },
];

const MODEL = { layers: 2, hidden: 8, heads: 2, groups: 1, ffn: 6, vocabulary: 257 };
const WORK = { sequences: 3, sequence: 16 };

function demandModel(model: unknown): asserts model is typeof MODEL {
  demandObject(model);
  const { layers, hidden, heads, groups, ffn, vocabulary } = model;
  demandCounts({ layers, hidden, heads, groups, ffn });
  demandCounts({ vocabulary }, 0);
}

const flops: readonly Entry[] = [
  {
    of: "formulaFlops",
    make: () => [{ ...MODEL }, { active: 2 }, 16],
    call: train.formulaFlops,
    right: (model, moe, sequence) => {
      demandModel(model);
      demandObject(moe);
      const active = moe.active as number;
      demandCounts({ active, sequence });
      const { layers: L, hidden: h, heads: a, groups: g, ffn: f, vocabulary: V } = model;
      // Per token and layer: projections, scores and values, three matrices per expert; then the
      // head.
      const products = 2 * h * h + 2 * h * h * g / a + 2 * sequence * h + 3 * active * h * f;
      return 6 * sequence * (L * products + V * h);
    },
  },
  {
    of: "executedFlops",
    make: () => [
      { ...MODEL },
      { router: "relu", experts: 4, granularity: 2 },
      { ...WORK, rows: [50, 70] },
    ],
    call: train.executedFlops,
    right: (model, moe, work) => {
      demandModel(model);
      demandObject(moe);
      demandObject(work);
      const { router, experts, granularity } = moe as Config["moe"];
      const { sequences, sequence, rows } = work as unknown as typeof WORK & { rows: number[] };
      demand((ROUTER_NAMES as readonly string[]).includes(router), "router");
      demandCounts({ experts, granularity, sequences, sequence });
      demand(Array.isArray(rows) && rows.length === model.layers, "rows");
      const routed = Array.from(rows).reduce((sum, count) => {
        demand(Number.isFinite(count) && count >= 0, "a count of rows");
        return sum + count;
      }, 0);
      const { layers: L, hidden: h, heads: a, groups: g, ffn: f, vocabulary: V } = model;
      const tokens = sequences * sequence;
      // Lory decides and merges once per segment.
      const segments = sequences * Math.ceil(sequence / Math.ceil(sequence / 4));
      const [decisions, merged] = router === "lory"
        ? [segments, segments * L * experts * granularity]
        : [tokens, 0];
      return {
        projections: 6 * tokens * L * (2 * h * h + 2 * h * h * g / a),
        attention: 7 * sequences * sequence * (sequence + 1) * h * L,
        routers: router === "dense" ? 0 : 6 * decisions * L * h * experts * granularity,
        experts: 18 * (routed + merged) * h * f / granularity,
        head: 6 * tokens * h * V,
      };
    },
  },
];

const memory: readonly Entry[] = [
  {
    of: "estimateMemory",
    make: () => [tiny(), { limit: 2 ** 30 }],
    call: (config, options) => {
      const stages = train.estimateMemory(config, options);
      return Object.values(stages).map(({ rows, weights, gradients, moments, ...rest }) => {
        const parts = weights + gradients + moments + rest.activations + rest.scratch;
        return { rows, weights, gradients, moments, adds: rest.total === parts };
      });
    },
    right: (config, options = {}) => {
      demandConfig(config);
      demandObject(options);
      const { limit = Infinity } = options;
      demand(typeof limit === "number" && limit > 0, "limit");
      const weights = 4 * parametersOf(config);
      const { moe, data } = config;
      const of = { weights, gradients: weights, moments: 2 * weights, adds: true };
      const tokens = data.micro_batch * data.sequence;
      const [dense, sparse] = [moe.experts, moe.active].map((each) =>
        each * moe.granularity * tokens
      );
      return [{ ...of, rows: dense }, { ...of, rows: sparse }];
    },
  },
  {
    of: "checkMemory",
    make: () => [tiny(), 2 ** 30],
    call: train.checkMemory,
    right: (config, limit) => {
      demandConfig(config);
      demand(typeof limit === "number" && limit >= 16 * parametersOf(config), "limit");
    },
  },
];

/** Configurations and what depends on them. */
export const configurations: readonly Entry[] = [
  ...parsing,
  ...loading,
  ...resuming,
  ...flops,
  ...memory,
];
