/** TopKRouter. @module */

import * as remoe from "@remoe/remoe";
import { softmax } from "../../../../kernels/cases/reference/reduction.ts";
import { demand, type Entry, f32 } from "../../entry.ts";
import { built, demandPositive } from "../layers.ts";
import {
  demandContext,
  demandScale,
  largest,
  logits,
  right,
  routed,
  SIZES,
  weightEntry,
} from "./shared.ts";

function demandWarmup(warmup: unknown, active: number, experts: number): void {
  if (warmup === undefined) return;
  demand(typeof warmup === "object" && warmup !== null && !Array.isArray(warmup), "warmup");
  const { active: most, steps } = warmup as remoe.TopKWarmup;
  demand(Number.isInteger(most) && most >= active && most <= experts, "warmup.active");
  demand(Number.isSafeInteger(steps) && steps >= 0, "warmup.steps");
}

/** Entries of TopKRouter. */
export const topkEntries: readonly Entry[] = [
  ...built({
    of: "TopKRouter",
    options: () => ({
      ...SIZES,
      balanceCoefficient: 0.01,
      zCoefficient: 0.001,
      renormalize: true,
      gateScale: 2,
      warmup: { active: 3, steps: 10 },
      name: "g",
    }),
    build: (device, options) => new remoe.TopKRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: (options) => {
      const { hidden, experts, active = 1, renormalize = false, name = "gate.weight" } = options;
      demand(Number.isInteger(active) && active > 0 && active <= experts, "active");
      demand(typeof renormalize === "boolean" && !(renormalize && active === 1), "renormalize");
      demandPositive(options, "balanceCoefficient", "zCoefficient");
      demandScale(options);
      demandWarmup(options.warmup, active, experts);
      return { [name]: [hidden, experts] };
    },
  }),
  {
    of: "TopKRouter.route",
    make: (w) => [w.layer(new remoe.TopKRouter(w.device, SIZES)), w.f32([1, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => {
      const { shape, data } = logits(x);
      const experts = SIZES.experts;
      const shares = [...softmax(Float64Array.from(data), experts)];
      const gates = Array<number>(shares.length).fill(0);
      for (let first = 0; first < data.length; first += experts) {
        for (const e of largest(data.slice(first, first + experts), SIZES.active)) {
          gates[first + e] = shares[first + e]!;
        }
      }
      return right(f32(shape, gates));
    },
    object: true,
  },
  {
    of: "TopKRouter.route",
    variant: "in its warmup",
    make: (w) => {
      const warmup = { active: 3, steps: 2 };
      const router = w.layer(new remoe.TopKRouter(w.device, { ...SIZES, warmup }));
      return [router, w.f32([5, 4]), { step: 1 }];
    },
    call: (router, x, context) => routed(router.route(x, context)),
    right: (_, x, context) => {
      const { shape, data } = logits(x);
      demandContext(context);
      const { step = Infinity } = context ?? {};
      const shares = softmax(Float64Array.from(data), SIZES.experts);
      const gates = data.map(() => 0);
      for (let first = 0; first < data.length; first += SIZES.experts) {
        const active = step < 2 ? 3 : SIZES.active;
        for (const e of largest(data.slice(first, first + SIZES.experts), active)) {
          gates[first + e] = shares[first + e]!;
        }
      }
      return right(f32(shape, gates));
    },
    object: true,
  },
  weightEntry(remoe.TopKRouter),
];
